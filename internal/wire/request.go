package wire

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// Request is what a client sent. Which fields count depends on Op; the others are zero or whatever the client wrote.
type Request struct {
	Op     string       // never empty; not necessarily one that is known
	Token  string       // hello
	After  string       // hello, sub: a position, not parsed
	Subs   []SubRequest // hello
	Sub    int64        // sub, unsub: at least 1
	Topic  string       // sub, pub: not checked
	Replay int          // sub
	Ref    uint64       // pub: if HasRef
	HasRef bool
	Key    string // pub

	// Data is what pub publishes: JSON, or, if Binary, the bytes after the header. Nil if there is none, or TooDeep; null
	// is []byte("null"). DecodeRequest makes it a sub-slice of the message.
	Data   []byte
	Binary bool
	// TooDeep says that the data nests deeper than MaxDepth: the publish is to be refused as invalid.
	TooDeep bool
}

// SubRequest asks for one subscription.
type SubRequest struct {
	Sub    int64  // its number, at least 1
	Topic  string // or pattern; not checked
	After  string // a position, not parsed; empty if there is none
	Replay int    // 0 to 2^31-1; more is taken for that
}

// BadRequest is the error for a message that ends the connection.
type BadRequest struct { //nolint:errname // named for what the peer did
	Close  int    // CloseNotUTF8 or CloseProtocol
	Reason string // for the Close frame
}

func (e *BadRequest) Error() string {
	return fmt.Sprintf("wire: bad request: %s (close code %d)", e.Reason, e.Close)
}

func bad(format string, args ...any) error {
	return &BadRequest{CloseProtocol, fmt.Sprintf(format, args...)}
}

// DecodeRequest decodes a client's message. The error is a *BadRequest.
//
// Fields that it doesn't know are ignored; null is absent, other than that of data; of a field that is there twice the
// last one counts, whatever the others are. An op that it doesn't know is returned with its ref, if it has one, whatever its other fields hold.
func DecodeRequest(msg []byte, binary bool) (Request, error) {
	head, data, ok := split(msg, binary)
	if !ok {
		return Request{}, bad("binary message without a header line")
	}
	r := Request{Data: data, Binary: binary}
	if !utf8.Valid(head) {
		return Request{}, &BadRequest{CloseNotUTF8, "not UTF-8"}
	}
	w := walk{b: head}
	var wrong faults
	for w.next() {
		if ok := r.set(&w); !ok || wrong.any() {
			wrong.note(w.key, ok)
		}
	}
	switch {
	case w.bad:
		return Request{}, bad("not a JSON object")
	case slices.Contains(wrong, "op") || r.Op == "":
		return Request{}, bad(`no "op"`)
	}
	known, numbered := true, false
	switch r.Op {
	case OpHello, OpPong, OpPub:
	case OpSub, OpUnsub:
		numbered = true
	default:
		known = false
	}
	switch {
	case !known:
		return Request{Op: r.Op, Ref: r.Ref, HasRef: r.HasRef}, nil
	case wrong.any():
		return Request{}, bad("%q is of a wrong type or out of range", wrong[0])
	case numbered && r.Sub == 0:
		return Request{}, bad("%s without \"sub\"", r.Op)
	case binary && r.Op != OpPub:
		return Request{}, bad("%s in a binary message", r.Op)
	}
	return r, nil
}

var newline = []byte{'\n'}

// split takes a binary message apart into its header and the bytes after it. Text is all header. ok is false if the
// header has no end.
func split(msg []byte, binary bool) (head, data []byte, ok bool) {
	if !binary {
		return msg, nil, true
	}
	return bytes.Cut(msg, newline)
}

// set takes one member of the message, and reports whether it is of the right type.
func (r *Request) set(w *walk) (ok bool) {
	if string(w.key) == "data" {
		if r.Binary {
			return true // the data is after the header
		}
		r.TooDeep = w.depth > MaxDepth
		if r.Data = w.val; r.TooDeep {
			r.Data = nil
		}
		return true
	}
	switch string(w.key) {
	case "op":
		r.Op, ok = opName(w.val)
	case "token":
		r.Token, ok = text(w.val)
	case "after":
		r.After, ok = text(w.val)
	case "topic":
		r.Topic, ok = text(w.val)
	case "key":
		r.Key, ok = text(w.val)
	case "sub":
		r.Sub, ok = integer(w.val, 1)
	case "ref":
		r.Ref, ok = natural(w.val)
		r.HasRef = ok && !null(w.val)
	case "replay":
		r.Replay, ok = replay(w.val)
	case "subs":
		r.Subs, ok = subRequests(w.val)
	default:
		return true
	}
	return ok
}

// opName decodes the value of op, without allocating for the usual ones.
func opName(val []byte) (op string, ok bool) {
	switch string(val) {
	case `"pub"`:
		return OpPub, true
	case `"pong"`:
		return OpPong, true
	}
	return text(val)
}

func replay(val []byte) (n int, ok bool) {
	v, ok := integer(val, 0)
	return int(min(v, math.MaxInt32)), ok
}

// subRequests decodes the subscriptions of hello: objects with a number each.
func subRequests(val []byte) (subs []SubRequest, ok bool) {
	if null(val) {
		return nil, true
	}
	list := walk{b: val, array: true}
	for list.next() {
		var s SubRequest
		var wrong faults
		w := walk{b: list.val}
		for w.next() {
			if ok := s.set(&w); !ok || wrong.any() {
				wrong.note(w.key, ok)
			}
		}
		if w.bad || wrong.any() || s.Sub == 0 {
			return nil, false
		}
		subs = append(subs, s)
	}
	return subs, !list.bad
}

// set takes one member of the subscription, and reports whether it is of the right type.
func (s *SubRequest) set(w *walk) (ok bool) {
	switch string(w.key) {
	case "sub":
		s.Sub, ok = integer(w.val, 1)
	case "topic":
		s.Topic, ok = text(w.val)
	case "after":
		s.After, ok = text(w.val)
	case "replay":
		s.Replay, ok = replay(w.val)
	default:
		return true
	}
	return ok
}

// AppendRequest appends the message that says r: the client's side of DecodeRequest. Of the fields only those are
// written that r.Op has, and of those only the ones that are not empty; data must be JSON, or r.Binary set, which makes
// it a binary message.
func AppendRequest(dst []byte, r Request) []byte {
	dst = appendString(append(dst, `{"op":`...), r.Op)
	switch r.Op {
	case OpHello:
		dst = appendText(dst, "token", r.Token)
		dst = appendText(dst, "after", r.After)
		for i, s := range r.Subs {
			sep := `,{"sub":`
			if i == 0 {
				sep = `,"subs":[{"sub":`
			}
			dst = append(appendSub(append(dst, sep...), s), '}')
		}
		if len(r.Subs) > 0 {
			dst = append(dst, ']')
		}
	case OpSub:
		dst = appendSub(append(dst, `,"sub":`...), SubRequest{r.Sub, r.Topic, r.After, r.Replay})
	case OpUnsub:
		dst = appendInt(dst, "sub", r.Sub)
	case OpPub:
		if r.HasRef {
			dst = appendInt(dst, "ref", int64(r.Ref))
		}
		dst = appendText(dst, "topic", r.Topic)
		if !r.Binary && r.Data != nil {
			dst = append(append(dst, `,"data":`...), r.Data...)
		}
		dst = appendText(dst, "key", r.Key)
		if r.Binary {
			return append(append(dst, "}\n"...), r.Data...)
		}
	}
	return append(dst, '}')
}

// appendSub appends the value of "sub" and the rest of a subscription's members.
func appendSub(dst []byte, s SubRequest) []byte {
	dst = appendText(appendNumber(dst, s.Sub), "topic", s.Topic)
	dst = appendText(dst, "after", s.After)
	if s.Replay > 0 {
		dst = appendInt(dst, "replay", int64(s.Replay))
	}
	return dst
}
