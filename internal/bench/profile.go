//go:build linux

package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
)

// profileEnv names the folder that a server writes its profiles to: cpu.pprof of its whole life, heap.pprof of its end.
const profileEnv = "BENCH_PROFILE"

// profiled begins to profile if that is wanted. What it returns ends it.
func profiled() (end func() error, err error) {
	dir := os.Getenv(profileEnv)
	if dir == "" {
		return func() error { return nil }, nil
	}
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		if err := cpu.Close(); err != nil {
			return err
		}
		runtime.GC()
		heap, err := os.Create(filepath.Join(dir, "heap.pprof"))
		if err != nil {
			return err
		}
		if err := pprof.WriteHeapProfile(heap); err != nil {
			return err
		}
		return heap.Close()
	}, nil
}
