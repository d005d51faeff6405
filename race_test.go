//go:build race

package hotline

const raceEnabled = true
