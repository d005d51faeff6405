package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// compact makes JSON data comparable.
func compact(t testing.TB, data []byte) string {
	t.Helper()
	if len(data) == 0 {
		return ""
	}
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return b.String()
}

// sameRequest reports whether two requests say the same, however their data is spaced.
func sameRequest(t testing.TB, got, want Request) string {
	t.Helper()
	if !want.Binary && got.Data != nil && want.Data != nil {
		got.Data, want.Data = []byte(compact(t, got.Data)), []byte(compact(t, want.Data))
	}
	return cmp.Diff(want, got)
}

func TestRequestVectors(t *testing.T) {
	for _, v := range vectors(t, "client.json", "client") {
		msg, binary := v.message(t)
		want := v.request(t)
		if got := AppendRequest([]byte("x"), want); string(got[1:]) != string(msg) {
			t.Errorf("%s: AppendRequest wrote\n\t%q, want\n\t%q", v.Name, got[1:], msg)
		}
		got, err := DecodeRequest(msg, binary)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", v.Name, diff)
		}
	}
}

func TestLenientRequests(t *testing.T) {
	for _, v := range vectors(t, "lenient.json", "client") {
		msg, binary := v.message(t)
		got, err := DecodeRequest(msg, binary)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if v.Depth > 0 { // its data is too long for the file
			if got.TooDeep != (v.Depth > MaxDepth) || got.TooDeep != (got.Data == nil) {
				t.Errorf("%s: too deep: %v, %d bytes of data", v.Name, got.TooDeep, len(got.Data))
			}
			got.TooDeep, got.Data = false, nil
		}
		if diff := sameRequest(t, got, v.request(t)); diff != "" {
			t.Errorf("%s: %s", v.Name, diff)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	for _, v := range vectors(t, "malformed.json", "client") {
		msg, binary := v.message(t)
		r, err := DecodeRequest(msg, binary)
		var bad *BadRequest
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v, %+v", v.Name, err, r)
			continue
		}
		if bad.Close != v.Close || v.Close == 0 {
			t.Errorf("%s: close code %d (%s), want %d", v.Name, bad.Close, bad.Reason, v.Close)
		}
		if bad.Reason == "" || len(bad.Reason) > 123 || !utf8.ValidString(bad.Reason) {
			t.Errorf("%s: reason %q does not suit a Close frame", v.Name, bad.Reason)
		}
	}
}

// Data is part of the message, and appending to it must not write into what follows.
func TestRequestDataIsSubSlice(t *testing.T) {
	msg := []byte(`{"op":"pub","data":[1],"topic":"a"}`)
	r, err := DecodeRequest(msg, false)
	if err != nil {
		t.Fatal(err)
	}
	if &r.Data[0] != &msg[bytes.IndexByte(msg, '[')] {
		t.Error("data is a copy")
	}
	_ = append(r.Data, "XXXX"...)
	if !strings.HasSuffix(string(msg), `,"topic":"a"}`) {
		t.Errorf("the message became %s", msg)
	}
}

// member is a member of an object.
type member struct {
	key string
	val json.RawMessage
}

// parseMembers reads an object by encoding/json, with all its members in their order.
func parseMembers(data []byte) (list []member, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, false
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, false
		}
		m := member{key: key.(string)}
		if dec.Decode(&m.val) != nil {
			return nil, false
		}
		list = append(list, m)
	}
	if _, err := dec.Token(); err != nil {
		return nil, false
	}
	_, err := dec.Token()
	return list, err == io.EOF
}

// parseInt decodes a number that has no fraction and no exponent.
func parseInt(val json.RawMessage, low int64, to *int64) bool {
	var v int64
	ok := json.Unmarshal(val, &v) == nil && v >= low && v <= 1<<53-1 && val[0] != '"'
	if ok {
		*to = v
	}
	return ok
}

// parseSub decodes a member that subscriptions have.
func parseSub(m member, to *SubRequest) (ok bool) {
	var n int64
	switch m.key {
	case "sub":
		return parseInt(m.val, 1, &to.Sub)
	case "topic":
		return json.Unmarshal(m.val, &to.Topic) == nil
	case "after":
		return json.Unmarshal(m.val, &to.After) == nil
	case "replay":
		ok = parseInt(m.val, 0, &n)
		to.Replay = int(min(n, math.MaxInt32))
		return ok
	}
	return true
}

// lastOfEach drops members that are there again later.
func lastOfEach(list []member) (last []member) {
	for i, m := range list {
		if !slices.ContainsFunc(list[i+1:], func(o member) bool { return o.key == m.key }) {
			last = append(last, m)
		}
	}
	return last
}

// parseRequest is DecodeRequest for text, written anew with encoding/json.
func parseRequest(msg []byte) (r Request, close int) {
	if !utf8.Valid(msg) {
		return r, 1007
	}
	list, ok := parseMembers(msg)
	if !ok {
		return r, 3502
	}
	var sub SubRequest
	for _, m := range lastOfEach(list) {
		var n int64
		good := true
		switch {
		case m.key == "data":
			r.Data, r.TooDeep = m.val, depthOf(m.val) > MaxDepth
			if r.TooDeep {
				r.Data = nil
			}
		case string(m.val) == "null":
		case m.key == "op":
			good = json.Unmarshal(m.val, &r.Op) == nil
			if !good {
				return r, 3502
			}
		case m.key == "token":
			good = json.Unmarshal(m.val, &r.Token) == nil
		case m.key == "key":
			good = json.Unmarshal(m.val, &r.Key) == nil
		case m.key == "ref":
			good = parseInt(m.val, 0, &n)
			r.Ref, r.HasRef = uint64(n), good
		case m.key == "subs":
			var elems []json.RawMessage
			good = json.Unmarshal(m.val, &elems) == nil
			r.Subs = nil
			for _, e := range elems {
				members, ok := parseMembers(e)
				var s SubRequest
				for _, m := range lastOfEach(members) {
					ok = ok && (string(m.val) == "null" || parseSub(m, &s))
				}
				good = good && ok && s.Sub > 0
				r.Subs = append(r.Subs, s)
			}
		default:
			good = parseSub(m, &sub)
		}
		ok = ok && good
	}
	r.Sub, r.Topic, r.After, r.Replay = sub.Sub, sub.Topic, sub.After, sub.Replay
	switch r.Op {
	case "":
		return r, 3502
	case OpSub, OpUnsub:
		ok = ok && r.Sub > 0
	case OpHello, OpPub, OpPong:
	default:
		return Request{Op: r.Op, Ref: r.Ref, HasRef: r.HasRef}, 0
	}
	if !ok {
		return r, 3502
	}
	return r, 0
}

// FuzzDecodeRequest holds the decoder against parseRequest, and checks that what it accepts means the same when it is
// written again.
func FuzzDecodeRequest(f *testing.F) {
	for _, name := range []string{"client.json", "lenient.json", "malformed.json"} {
		for _, v := range vectors(f, name, "client") {
			if msg, binary := v.message(f); len(msg) < 5000 {
				f.Add(msg, binary)
			}
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte, binary bool) {
		if depthOf(msg) > 9_000 {
			return // more than encoding/json reads
		}
		before := bytes.Clone(msg)
		r, err := DecodeRequest(msg, binary)
		if !bytes.Equal(msg, before) {
			t.Fatal("the message was changed")
		}
		var bad *BadRequest
		if err != nil && (!errors.As(err, &bad) || bad.Reason == "" || bad.Close != 1007 && bad.Close != 3502) {
			t.Fatalf("%q: %v", msg, err)
		}
		if !binary {
			want, close := parseRequest(msg)
			switch {
			case close == 0 && err != nil, close != 0 && (err == nil || bad.Close != close):
				t.Fatalf("%q: %v, want close code %d", msg, err, close)
			case close == 0:
				if diff := sameRequest(t, r, want); diff != "" {
					t.Fatalf("%q: %s", msg, diff)
				}
			}
		}
		if err != nil {
			return
		}
		switch r.Op {
		case OpHello, OpSub, OpUnsub, OpPub, OpPong:
		default:
			return // AppendRequest does not know what else there is to write
		}
		again, err := DecodeRequest(AppendRequest(nil, r), r.Binary)
		if err != nil {
			t.Fatalf("%q: written again: %v", msg, err)
		}
		if diff := cmp.Diff(meant(r), again); diff != "" {
			t.Fatalf("%q: written again: %s", msg, diff)
		}
	})
}

// meant leaves of r what its op has.
func meant(r Request) Request {
	switch r.Op {
	case OpHello:
		return Request{Op: r.Op, Token: r.Token, After: r.After, Subs: r.Subs}
	case OpSub:
		return Request{Op: r.Op, Sub: r.Sub, Topic: r.Topic, After: r.After, Replay: r.Replay}
	case OpUnsub:
		return Request{Op: r.Op, Sub: r.Sub}
	case OpPub:
		return Request{Op: r.Op, Topic: r.Topic, Ref: r.Ref, HasRef: r.HasRef, Key: r.Key, Data: r.Data, Binary: r.Binary}
	}
	return Request{Op: r.Op}
}

func BenchmarkDecodeRequest(b *testing.B) {
	hello := Request{Op: OpHello, Token: strings.Repeat("t", 200), After: "2u.9qz"}
	for i := range 20 {
		hello.Subs = append(hello.Subs, SubRequest{Sub: int64(i + 1), Topic: "chat.lobby", After: "2u.9qz"})
	}
	pub := Request{Op: OpPub, Ref: 4, HasRef: true, Topic: "chat.lobby", Data: sample(128), Key: "5Qm0c2tVxYz01234"}
	large := pub
	large.Data = sample(8 << 10)
	binary := pub
	binary.Binary = true
	for _, bb := range []struct {
		name string
		r    Request
	}{{"pub", pub}, {"pub8KB", large}, {"pubBinary", binary}, {"pong", Request{Op: OpPong}}, {"hello20", hello}} {
		msg := AppendRequest(nil, bb.r)
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeRequest(msg, bb.r.Binary); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
