//go:build !linux

package hotline

import "time"

// The benchmarks measure CPU time on Linux alone; elsewhere their figures of it are zero.

func cpu() time.Duration { return 0 }

func threadCPU() time.Duration { return 0 }
