// Package wire is hotline.v1: what the frames of hub and client say. PROTOCOL.md specifies it, and testdata/protocol
// holds the vectors that this package and the clients in other languages are tested with.
//
// The Append functions write the payload of one WebSocket message, without the frame's header. What they write is JSON
// and UTF-8 whatever they are given, and byte for byte what JSON.stringify makes of the same members in the same order.
package wire

const (
	// Protocol is the WebSocket subprotocol of this version.
	Protocol = "hotline.v1"
	// AnyVersion is what a client offers beside the versions that it speaks. A hub that speaks none of them selects it
	// and closes with CloseVersion, because a browser can't read an HTTP refusal.
	AnyVersion = "hotline"
)

// The values of "op" in what clients send.
const (
	OpHello = "hello"
	OpSub   = "sub"
	OpUnsub = "unsub"
	OpPub   = "pub"
	OpPong  = "pong"
)

// The values of "op" in what the hub sends. A message has none.
const (
	OpWelcome = "welcome"
	OpOK      = "ok" // of a subscription, or, with "ref", of a publish
	OpEnd     = "end"
	OpGap     = "gap"
	OpAt      = "at"
	OpReset   = "reset"
	OpPush    = "push"
	OpSend    = "send"
	OpBye     = "bye"
	OpErr     = "err"
	OpPing    = "ping"
)

// The values of "code" in end and err. The last four come with "again": the same may succeed later.
const (
	CodeDenied      = "denied"
	CodeInvalid     = "invalid"
	CodeLimit       = "limit"
	CodeTooLarge    = "too_large"
	CodeUnknown     = "unknown"
	CodeTimeout     = "timeout"
	CodeUnavailable = "unavailable"
	CodeClosing     = "closing"
	CodeInternal    = "internal"
)

// The values of "cause" in gap: why messages were lost.
const (
	CauseSlow    = "slow"    // the connection was behind for longer than the log reaches back
	CauseAway    = "away"    // the client was away for longer than the log reaches back
	CauseRestart = "restart" // the position is of another life of the log
	CauseExpired = "expired" // older than the topic's maximum age
	CauseBroker  = "broker"  // the broker lost them
	CauseDenied  = "denied"  // history is not for this user
)
