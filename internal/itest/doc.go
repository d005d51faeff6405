// Package itest holds tests that need what the library itself must not: web frameworks, and clients that others wrote. It
// is a module of its own, so that none of it is a requirement of the library's. The browser tests are in the folder
// browser; package interop has WebSocket clients in Go, Python, C and JavaScript speak with a hub.
package itest
