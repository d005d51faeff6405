package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// ServerFrame is what a hub sent. Which fields count depends on Op. Positions are opaque to clients and stay text.
type ServerFrame struct {
	Op    string // empty: a message
	Sub   int64  // of ok, end, reset, push; or the tag of a message or gap, 0 if there is none
	Topic string // of a message, send, push, gap

	// Of a message or send. Data is a sub-slice of what was decoded.
	ID, Rev string
	From    string
	Data    []byte // JSON, or, if Binary, the bytes after the header
	HasData bool
	Binary  bool
	Gone    bool

	At     string  // ok, gap, at
	Subs   []int64 // gap
	Cause  string  // gap
	Missed uint64  // gap: 0 if not known

	Ref    uint64 // ok of a publish, err: if HasRef
	HasRef bool
	Held   bool // ok of a publish

	Code      string        // end, err
	CloseCode int           // bye
	Reason    string        // end, err, bye
	Again     bool          // end, err
	Retry     time.Duration // bye: if HasRetry
	HasRetry  bool

	// Of welcome.
	Conn                   string
	Ping, Grace            time.Duration // 0: the hub sends no pings
	MaxIn, MaxOut, MaxSubs int           // 0: no limit
}

// DecodeServer decodes a hub's message. Like DecodeRequest it ignores fields that it doesn't know, takes null for
// absent other than that of data, and returns no more than Op of one that it doesn't know.
func DecodeServer(msg []byte, binary bool) (ServerFrame, error) {
	var d Decoder
	return d.Decode(msg, binary)
}

// Decoder decodes what one hub sends, message by message, as DecodeServer does. It remembers some texts, because topics,
// users and ops come again and again. It is not safe for concurrent use.
type Decoder struct {
	texts [64]string
}

// Decode is DecodeServer.
func (d *Decoder) Decode(msg []byte, binary bool) (ServerFrame, error) {
	head, data, ok := split(msg, binary)
	if !ok {
		return ServerFrame{}, errors.New("wire: binary message without a header line")
	}
	f := ServerFrame{Data: data, HasData: binary, Binary: binary}
	if !utf8.Valid(head) {
		return ServerFrame{}, errors.New("wire: message is not UTF-8")
	}
	w := walk{b: head}
	var wrong faults
	for w.next() {
		if ok := f.set(&w, d); !ok || wrong.any() {
			wrong.note(w.key, ok)
		}
	}
	switch {
	case w.bad:
		return ServerFrame{}, errors.New("wire: message is not a JSON object")
	case !slices.Contains(wrong, "op") && !knownServerOp(f.Op):
		return ServerFrame{Op: f.Op}, nil
	case wrong.any():
		return ServerFrame{}, fmt.Errorf("wire: %q is of a wrong type or out of range", wrong[0])
	case f.Op == "" && f.Topic == "":
		return ServerFrame{}, errors.New("wire: message without a topic")
	}
	return f, nil
}

// text is the function text, for a string that probably is one of those before it.
func (d *Decoder) text(val []byte) (s string, ok bool) {
	n := len(val) - 2
	if n <= 0 || n > 255 || val[0] != '"' || bytes.IndexByte(val, '\\') >= 0 {
		return text(val)
	}
	h := uint(n)
	for _, c := range val[max(1, n-7) : n+1] { // names differ at their ends
		h = h*31 + uint(c)
	}
	known := &d.texts[h%uint(len(d.texts))]
	if string(val[1:n+1]) != *known {
		*known = string(val[1 : n+1])
	}
	return *known, true
}

func knownServerOp(op string) bool {
	switch op {
	case "", OpWelcome, OpOK, OpEnd, OpGap, OpAt, OpReset, OpPush, OpSend, OpBye, OpErr, OpPing:
		return true
	}
	return false
}

// set takes one member of the message, and reports whether it is of the right type.
func (f *ServerFrame) set(w *walk, d *Decoder) (ok bool) {
	if string(w.key) == "data" {
		if !f.Binary { // else the data is after the header
			f.Data, f.HasData = w.val, true
		}
		return true
	}
	switch string(w.key) { // the ones of a message first
	case "topic":
		f.Topic, ok = d.text(w.val)
	case "id":
		f.ID, ok = text(w.val)
	case "rev":
		f.Rev, ok = text(w.val)
	case "from":
		f.From, ok = d.text(w.val)
	case "gone":
		f.Gone, ok = boolean(w.val)
	case "sub":
		f.Sub, ok = integer(w.val, -maxInt)
	case "op":
		f.Op, ok = d.text(w.val)
	default:
		return f.setNotice(w)
	}
	return ok
}

// setNotice takes a member that messages do not have.
func (f *ServerFrame) setNotice(w *walk) (ok bool) {
	switch string(w.key) {
	case "at":
		f.At, ok = text(w.val)
	case "subs":
		f.Subs, ok = integers(w.val)
	case "cause":
		f.Cause, ok = text(w.val)
	case "missed":
		f.Missed, ok = natural(w.val)
	case "ref":
		f.Ref, ok = natural(w.val)
		f.HasRef = ok && !null(w.val)
	case "held":
		f.Held, ok = boolean(w.val)
	case "code":
		f.Code, f.CloseCode = "", 0
		if w.val[0] == '"' {
			f.Code, ok = text(w.val)
		} else {
			f.CloseCode, ok = size(w.val)
		}
	case "reason":
		f.Reason, ok = text(w.val)
	case "again":
		f.Again, ok = boolean(w.val)
	case "retry":
		f.Retry, ok = duration(w.val)
		f.HasRetry = ok && !null(w.val)
	case "conn":
		f.Conn, ok = text(w.val)
	case "ping":
		f.Ping, ok = duration(w.val)
	case "grace":
		f.Grace, ok = duration(w.val)
	case "max":
		ok = f.setMax(w.val)
	default:
		return true
	}
	return ok
}

// setMax takes the limits of welcome.
func (f *ServerFrame) setMax(val []byte) (ok bool) {
	f.MaxIn, f.MaxOut, f.MaxSubs = 0, 0, 0
	if null(val) {
		return true
	}
	w := walk{b: val}
	for ok = true; ok && w.next(); {
		switch string(w.key) {
		case "in":
			f.MaxIn, ok = size(w.val)
		case "out":
			f.MaxOut, ok = size(w.val)
		case "subs":
			f.MaxSubs, ok = size(w.val)
		}
	}
	return ok && !w.bad
}

// size decodes a natural number that has its use as an int.
func size(val []byte) (v int, ok bool) {
	n, ok := integer(val, 0)
	return int(min(n, math.MaxInt)), ok
}

// duration decodes milliseconds; what no time.Duration holds is taken for the longest.
func duration(val []byte) (d time.Duration, ok bool) {
	ms, ok := integer(val, 0)
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, ok
}

func integers(val []byte) (list []int64, ok bool) {
	if null(val) {
		return nil, true
	}
	w := walk{b: val, array: true}
	for w.next() {
		v, ok := integer(w.val, -maxInt)
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
	return list, !w.bad
}
