//go:build !race

package hotline

const raceEnabled = false
