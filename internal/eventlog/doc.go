// Package eventlog is what a hub remembers: one log of Events that every subscriber reads at its own position, and one
// table of State values in the order of their last change.
//
// A message is encoded once, as the WebSocket frame that goes out, into a segment of bytes without pointers. Readers
// take slices of those frames and never copies. Segments are immutable once published and are never reused, so a slice
// stays valid for whoever holds it, also after the entry has been evicted.
//
// Three kinds of reader share it:
//
//   - a [Follower], one a shard, walks the log in order, without a lock; nothing is evicted that it has not passed;
//   - [Log.Read], for whoever is behind, resumes, replays or reads in process: a position, a filter, and how much;
//   - [Log.Changes], the same for State: it walks the table in the order of change and returns each value as of now.
//
// One mutex guards the topic table, the append and the lists of a topic's entries. It is never held across I/O or a
// callback that blocks.
package eventlog
