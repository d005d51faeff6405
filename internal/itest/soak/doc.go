// Package soak runs a hub for a long time in a process of its own, while clients come and go, subscribe, publish, stall
// and are cut off, and looks whether its memory, goroutines and descriptors come back to where they were.
package soak
