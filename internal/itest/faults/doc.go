// Package faults puts hubs and Go clients under faults that others have made: proxies that delay, cut and limit, nginx and
// haproxy, a network that loses, repeats and reorders packets, and requests that never end. The oracle of the root module's
// tests says whether anybody was told less than the promises.
//
// go test runs each of them for a few seconds. make faults runs them for FAULTS_TIME from SEED on, and writes what they did
// into internal/itest/faults.md.
package faults
