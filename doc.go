// Package hotline is publish/subscribe over WebSocket: a [Hub] that mounts in the HTTP server that you have, and
// subscribers that are never silently without a message.
//
//	hub := hotline.NewHub(&hotline.HubOptions{
//		AuthorizeSubscribe: hotline.Allow("chat.*"),
//		AuthorizePublish:   hotline.Allow("chat.*"),
//	})
//	http.Handle("/ws", hub)
//	hub.Publish(ctx, "chat.lobby", "hello")
//
// and a [Client] for other services, which keeps itself connected:
//
//	client, err := hotline.Dial(ctx, "wss://example.com/ws", nil)
//	sub, err := client.Subscribe(ctx, "chat.*", nil)
//	for msg, err := range sub.Messages(ctx) { … }
//
// # Overview
//
// The hub is a log, and every subscriber is a reader of it. [Hub.Publish] encodes a message once, appends it to the log
// and returns; its cost does not depend on the number of subscribers. A subscriber that keeps up gets the message at
// once. One that is slow holds a position in the log and nothing is queued for it: when its socket drains it reads on
// from there. One that reconnects presents its position and does the same. One whose position has fallen out of the log
// is told that it has lost messages, exactly there, and goes on.
//
// Browsers and services speak hotline.v1, which PROTOCOL.md specifies.
//
// # Topics and delivery
//
// A topic is 1 to 255 bytes of UTF-8, segments separated by dots. In a subscription a segment * stands for any one
// segment and a final > for one or more; [Match] compares, [Escape] makes a segment of any string. [HubOptions.Topics]
// says by pattern what matters about a topic's messages: every message in order ([Events], the default), the newest
// value ([State]), only now ([Signals]), or a value that lives as long as a connection ([Presence]).
//
// # Order
//
// Every subscriber sees a topic's messages in the order of their IDs, each once. On one connection Events of all topics
// come in the order of the log, State in the order of last change; between Events, State and Signals nothing is promised.
// What one goroutine publishes one after the other is stored in that order.
//
// # Loss
//
// On Events topics a subscriber has every message since its position, or is told of a gap that stands exactly between
// the messages that it separates: [Message.Missed]. While nothing fails there is none. Messages are lost to a reader that
// falls behind by more than the log holds ([Limits].LogBytes and LogAge, and [TopicOptions].Keep beyond it), to one whose
// position is of another life of the process, and to nobody else. State subscribers converge to the last value, and to
// its absence. Signals are dropped for whoever is behind or away, and counted in [Stats].
//
// # Backpressure and memory
//
// A publisher is never slowed, and no subscriber delayed, by a slow one. The only thing that Publish waits for, as its
// ctx allows, is a CPU so starved that the log would overtake the hub's own goroutines. Memory is bounded by
//
//	log 64 MiB + kept messages 64 MiB + State values 256 MiB + idempotency keys 32 MiB + pending State and Signals 16 MiB
//	+ who is subscribed by patterns, topic by topic: 4 MiB a CPU
//	+ connections × (8 KiB + 2 × window 64 KiB + control lane + 128 B a subscription)
//	+ connections that are amid a message of theirs × (80 KiB, with compression 128 KiB)
//	+ connections that are sent a replay of a pattern × 16 B a topic that it matches
//
// where the window is spent only by connections that are being written to and do not read: what is on its way to a
// socket that has filled up, and the frames that cannot be made again. The kernel's own buffer is held to half a window
// on Linux. A socket that takes nothing for [Limits].WriteTimeout is closed, resumably.
//
// # Reconnecting
//
// A [Client] that has lost its connection connects again, until Close or a final refusal. It waits for a random time
// first: the first three times up to 2 s, then up to 4, 8, 16 and at most 20 s. A connection that lasted 5 s begins the row
// anew. A hub that closes may name the time itself, and the answers 429 and 503 may add theirs with Retry-After. A
// connection over which nothing comes for as long as the hub has announced, 35 s by default, counts as lost; a handshake
// may take 15 s. [DialOptions].Token is asked each time.
//
// Final is an error of Token that wraps [ErrDenied]; the close codes 1000, 1002, 1003, 1007 to 1009, 3500 to 3999 and 4500
// to 4999; the answers 400, 401 and 403 to a handshake; a server without hotline.v1, or that breaks it. Before the client was
// ever connected so are a certificate that is not trusted and, but for 408, 425 and 429, any other answer below 500. The
// cause of [Client.Context] is the reason. [DialOptions].OnState is told when a connection is lost that will be made again,
// and when there is one.
//
// Subscriptions go on at their position. A publish that was not answered is sent again with its key, in the first order, and
// stored once in the life of the hub's log. It fails with [ErrUncertain] when it was sent and not answered for 4 minutes, or
// when the hub has closed the connection twice while it was in flight. [Client.Publish] waits for a connection,
// [Client.Signal] fails without one. Presence values are published again.
//
// A loop that is slower than its topic has up to 256 Events or 1 MiB of them waiting in the client, of State the newest
// values, and 64 Signals. When there is no room for an event the client ends the subscription at the hub, and goes on from
// its place once half of that is read.
//
// After a restart of the process a subscription goes on with [SubscribeOptions].After: at the ID of the last message that
// the application is done with, or at [Subscription.Position]. What was done and not saved comes again, so what is published
// because of a message should be with [Client.Once] and its ID. When the hub has restarted no position is known to it any
// more: the next message has Missed set, or Resync is called.
//
// # Shutdown
//
// [Hub.Shutdown] tells each client when to come back, spreads the closes, and sends everything that was accepted before
// to whoever drains in time. [Hub.Close] does not wait. After either no goroutine and no socket of the hub is left.
//
// # Concurrency
//
// All exported types are safe for concurrent use, but for reading a [Subscription], which is one goroutine's. The hooks
// of one connection run one at a time, in the order of its frames; those of different connections concurrently. No lock
// is held while a hook runs.
//
// # Security
//
// Pages of other origins are refused, and nobody may subscribe or publish to anything until [HubOptions] says so. A
// client's input is bounded in every direction, see [Limits]; text must be UTF-8. A client sends its token in the first
// frame: dial wss or https URLs, with your own authority, if you have one, in [DialOptions].HTTPClient. SECURITY.md has the
// threat model.
package hotline
