package wire

import "time"

// Welcome is the first thing that the hub says.
type Welcome struct {
	Conn    string        // ID of the connection
	Ping    time.Duration // between the hub's pings; 0: it sends none
	Grace   time.Duration // how long after a missed ping either side waits
	In, Out int           // bytes of the largest message from and to the client; 0: no limit
	Subs    int           // subscriptions of the connection; 0: no limit
}

// AppendWelcome appends a welcome. What is zero or negative is left out; durations are rounded up to milliseconds.
func AppendWelcome(dst []byte, w Welcome) []byte {
	dst = appendString(append(dst, `{"op":"welcome","conn":`...), w.Conn)
	if w.Ping > 0 {
		dst = appendInt(dst, "ping", milliseconds(w.Ping))
	}
	if w.Grace > 0 {
		dst = appendInt(dst, "grace", milliseconds(w.Grace))
	}
	sep := `,"max":{"`
	for _, limit := range []struct {
		name string
		n    int
	}{{"in", w.In}, {"out", w.Out}, {"subs", w.Subs}} {
		if limit.n > 0 {
			dst = append(append(dst, sep...), limit.name...)
			dst = appendNumber(append(dst, '"', ':'), int64(limit.n))
			sep = `,"`
		}
	}
	if sep == `,"` {
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// milliseconds rounds up, so that what is not zero does not become it.
func milliseconds(d time.Duration) int64 {
	ms := int64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// AppendOK says that the subscription has joined the connection's stream at the position.
func AppendOK(dst []byte, sub int64, at Pos) []byte {
	dst = appendNumber(append(dst, `{"op":"ok","sub":`...), sub)
	return append(appendPos(dst, "at", at), '}')
}

// AppendEnd says that the subscription is over. code and reason are left out if empty, as for one that the client
// ended; again says that to subscribe once more may succeed later.
func AppendEnd(dst []byte, sub int64, code, reason string, again bool) []byte {
	dst = appendNumber(append(dst, `{"op":"end","sub":`...), sub)
	return appendWhy(dst, code, reason, again)
}

// appendWhy appends what end and err have in common, and closes the object.
func appendWhy(dst []byte, code, reason string, again bool) []byte {
	dst = appendText(dst, "code", code)
	dst = appendText(dst, "reason", reason)
	if again {
		dst = append(dst, `,"again":true`...)
	}
	return append(dst, '}')
}

// Gap says that messages were lost.
type Gap struct {
	Sub    int64   // not 0: tagged for this subscription, which is still catching up, and whose own position At is
	Subs   []int64 // the subscriptions that have lost something
	At     Pos     // reading goes on after it
	Cause  string
	Missed uint64 // how many messages; 0: not known
	Topic  string // the topic whose messages they were; empty: not known, or several
}

// AppendGap appends a gap.
func AppendGap(dst []byte, g Gap) []byte {
	if g.Sub != 0 {
		dst = append(AppendSubTag(dst, g.Sub), `"op":"gap","subs":[`...)
	} else {
		dst = append(dst, `{"op":"gap","subs":[`...)
	}
	for i, sub := range g.Subs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendNumber(dst, sub)
	}
	dst = appendPos(append(dst, ']'), "at", g.At)
	dst = appendText(dst, "cause", g.Cause)
	if g.Missed > 0 {
		dst = appendInt(dst, "missed", int64(min(g.Missed, maxInt)))
	}
	return append(appendText(dst, "topic", g.Topic), '}')
}

// AppendAt tells the client its position.
func AppendAt(dst []byte, at Pos) []byte {
	return append(appendPos(append(dst, `{"op":"at"`...), "at", at), '}')
}

// AppendReset says that the subscription's State values are sent once more, all of them.
func AppendReset(dst []byte, sub int64) []byte {
	return append(appendNumber(append(dst, `{"op":"reset","sub":`...), sub), '}')
}

// AppendPush says that the server has subscribed the client. Its numbers are negative.
func AppendPush(dst []byte, sub int64, topic string) []byte {
	dst = appendNumber(append(dst, `{"op":"push","sub":`...), sub)
	return append(appendString(appendName(dst, "topic"), topic), '}')
}

// AppendBye says that the hub is about to close with code, and when to come back: after retry, rounded up to
// milliseconds; a negative one is left out, and so is an empty reason.
func AppendBye(dst []byte, code int, retry time.Duration, reason string) []byte {
	dst = appendNumber(append(dst, `{"op":"bye","code":`...), int64(code))
	if retry >= 0 {
		dst = appendInt(dst, "retry", milliseconds(retry))
	}
	return append(appendText(dst, "reason", reason), '}')
}

// AppendAck says that the publish was accepted, and has the id. A zero id is left out: signals and commands have none.
// held says that the value now belongs to this connection.
func AppendAck(dst []byte, ref uint64, id Pos, held bool) []byte {
	dst = appendNumber(append(dst, `{"op":"ok","ref":`...), int64(ref))
	if id != (Pos{}) {
		dst = appendPos(dst, "id", id)
	}
	if held {
		dst = append(dst, `,"held":true`...)
	}
	return append(dst, '}')
}

// AppendErr says that the publish was not accepted; or, without a ref, that something else could not be done. again
// says that the same may succeed later.
func AppendErr(dst []byte, ref uint64, hasRef bool, code, reason string, again bool) []byte {
	dst = append(dst, `{"op":"err"`...)
	if hasRef {
		dst = appendInt(dst, "ref", int64(ref))
	}
	return appendWhy(dst, code, reason, again)
}

// AppendPing asks for a pong.
func AppendPing(dst []byte) []byte {
	return append(dst, `{"op":"ping"}`...)
}
