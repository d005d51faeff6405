package hubtest

import "github.com/gohotline/hotline/internal/memnet"

// Link is the network between one client and the server. Faults hold for the connection that there is and for later
// ones, Cut apart; they add up, until Heal.
type Link struct {
	// Static after construction.
	name string // for messages
	net  *memnet.Link
}

// Cut breaks the connection: both ends see a reset, and what was on its way is lost. The client may connect again.
func (l *Link) Cut() { l.net.Cut() }

// Stall stops delivery to the client: it is slow. Bytes wait in a buffer of the size of a socket's, 128 KiB; what the
// client sends arrives.
func (l *Link) Stall() { l.net.Stall() }

// Blackhole swallows bytes in both directions, and connection attempts: a dead network. Neither end is told. What was
// sent meanwhile arrives after Heal, unless an end has given up; so do attempts that still wait, as TCP repeats both.
func (l *Link) Blackhole() { l.net.Blackhole() }

// Throttle delivers so many bytes a second to the client. Zero or less is no limit.
func (l *Link) Throttle(bytesPerSecond int) { l.net.Throttle(bytesPerSecond) }

// Heal undoes Stall, Blackhole and Throttle. What waits flows.
func (l *Link) Heal() { l.net.Heal() }
