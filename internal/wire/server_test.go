package wire

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// encode writes what the vector means with the function that the hub uses for it.
func encode(t *testing.T, f ServerFrame) []byte {
	t.Helper()
	pos := func(s string) (p Pos) {
		if s != "" {
			var err error
			if p, err = ParsePos(s); err != nil {
				t.Fatal(err)
			}
		}
		return p
	}
	retry := f.Retry
	if !f.HasRetry {
		retry = -1
	}
	switch f.Op {
	case "", OpSend:
		h := Head{
			Topic: f.Topic, ID: pos(f.ID), HasID: f.ID != "", Rev: pos(f.Rev), HasRev: f.Rev != "",
			From: f.From, Gone: f.Gone, Binary: f.Binary, Send: f.Op == OpSend,
		}
		b := append(AppendHead(nil, h), f.Data...)
		if !h.Gone && !h.Binary {
			b = append(b, Tail...)
		}
		if f.Sub != 0 {
			b = append(AppendSubTag(nil, f.Sub), b[1:]...)
		}
		return b
	case OpWelcome:
		return AppendWelcome(nil, Welcome{Conn: f.Conn, Ping: f.Ping, Grace: f.Grace, In: f.MaxIn, Out: f.MaxOut, Subs: f.MaxSubs})
	case OpOK:
		if f.HasRef {
			return AppendAck(nil, f.Ref, pos(f.ID), f.Held)
		}
		return AppendOK(nil, f.Sub, pos(f.At))
	case OpEnd:
		return AppendEnd(nil, f.Sub, f.Code, f.Reason, f.Again)
	case OpGap:
		return AppendGap(nil, Gap{Sub: f.Sub, Subs: f.Subs, At: pos(f.At), Cause: f.Cause, Missed: f.Missed, Topic: f.Topic})
	case OpAt:
		return AppendAt(nil, pos(f.At))
	case OpReset:
		return AppendReset(nil, f.Sub)
	case OpPush:
		return AppendPush(nil, f.Sub, f.Topic)
	case OpBye:
		return AppendBye(nil, f.CloseCode, retry, f.Reason)
	case OpErr:
		return AppendErr(nil, f.Ref, f.HasRef, f.Code, f.Reason, f.Again)
	case OpPing:
		return AppendPing(nil)
	}
	t.Fatalf("op %q", f.Op)
	return nil
}

func TestServerVectors(t *testing.T) {
	ops := map[string]bool{}
	var d Decoder
	for _, v := range vectors(t, "server.json", "server") {
		msg, binary := v.message(t)
		want := v.serverFrame(t)
		ops[want.Op] = true
		if got := encode(t, want); string(got) != string(msg) {
			t.Errorf("%s: encoded as\n\t%q, want\n\t%q", v.Name, got, msg)
		}
		got, err := DecodeServer(msg, binary)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", v.Name, diff)
		}
		for range 2 {
			if again, err := d.Decode(msg, binary); err != nil || !cmp.Equal(want, again) {
				t.Errorf("%s: %v, %v by a decoder of several", v.Name, again, err)
			}
		}
	}
	if len(ops) != 12 {
		t.Errorf("the vectors have %d of the 12 kinds of frames", len(ops))
	}
}

func TestLenientServerFrames(t *testing.T) {
	for _, v := range vectors(t, "lenient.json", "server") {
		msg, binary := v.message(t)
		got, err := DecodeServer(msg, binary)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		want := v.serverFrame(t)
		if got.HasData {
			got.Data, want.Data = []byte(compact(t, got.Data)), []byte(compact(t, want.Data))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", v.Name, diff)
		}
	}
}

func TestMalformedServerFrames(t *testing.T) {
	for _, v := range vectors(t, "malformed.json", "server") {
		msg, binary := v.message(t)
		if f, err := DecodeServer(msg, binary); err == nil {
			t.Errorf("%s: %+v", v.Name, f)
		}
	}
}

// Whatever strings come from users or errors, and whatever numbers, the frames are UTF-8 JSON that means them.
func TestNoticesWithBadText(t *testing.T) {
	bad := "\xff\"\n"
	for _, b := range [][]byte{
		AppendWelcome(nil, Welcome{Conn: bad, In: -1}),
		AppendEnd(nil, 1, CodeInternal, bad, true),
		AppendGap(nil, Gap{At: Pos{1, 2}, Cause: bad, Missed: math.MaxUint64, Topic: bad}),
		AppendPush(nil, -1, bad),
		AppendBye(nil, 1012, math.MaxInt64, bad),
		AppendErr(nil, 1<<53-1, true, CodeInvalid, bad, false),
		AppendRequest(nil, Request{Op: OpHello, Token: bad, After: bad, Subs: []SubRequest{{Sub: 1, Topic: bad}}}),
		AppendHead(nil, Head{Topic: bad, From: bad, Gone: true}),
	} {
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Errorf("%q", b)
		}
		if _, err := DecodeServer(b, false); err != nil {
			t.Errorf("%q: %v", b, err)
		}
	}
}

func TestDurationsAreRoundedUp(t *testing.T) {
	for _, tt := range []struct {
		in, want time.Duration
	}{{0, 0}, {1, time.Millisecond}, {time.Millisecond, time.Millisecond}, {1500 * time.Microsecond, 2 * time.Millisecond}} {
		f, err := DecodeServer(AppendBye(nil, 1012, tt.in, ""), false)
		if err != nil || !f.HasRetry || f.Retry != tt.want {
			t.Errorf("%v became %v, %v", tt.in, f.Retry, err)
		}
		f, err = DecodeServer(AppendWelcome(nil, Welcome{Conn: "c", Ping: tt.in, Grace: tt.in}), false)
		if err != nil || f.Ping != tt.want || f.Grace != tt.want {
			t.Errorf("%v became %v and %v, %v", tt.in, f.Ping, f.Grace, err)
		}
	}
}

// serverText has the fields that are text.
type serverText struct{ topic, id, rev, from, at, cause, reason, conn string }

// parseServer decodes a text frame with encoding/json: of the fields those that are text, and the data.
func parseServer(list []member) (op string, s serverText, data json.RawMessage, ok bool) {
	ok = true
	for _, m := range list {
		var to *string
		switch m.key {
		case "data":
			data = m.val
			continue
		case "op":
			to = &op
		case "topic":
			to = &s.topic
		case "id":
			to = &s.id
		case "rev":
			to = &s.rev
		case "from":
			to = &s.from
		case "at":
			to = &s.at
		case "cause":
			to = &s.cause
		case "reason":
			to = &s.reason
		case "conn":
			to = &s.conn
		default:
			continue
		}
		if string(m.val) != "null" {
			ok = json.Unmarshal(m.val, to) == nil && ok
		}
	}
	return op, s, data, ok
}

// FuzzDecodeServer holds the decoder against encoding/json, and checks that the hub's functions write what was read.
func FuzzDecodeServer(f *testing.F) {
	for _, name := range []string{"server.json", "lenient.json", "malformed.json"} {
		for _, v := range vectors(f, name, "server") {
			if msg, binary := v.message(f); len(msg) < 5000 {
				f.Add(msg, binary)
			}
		}
	}
	var d Decoder // what it remembers of other messages makes no difference
	f.Fuzz(func(t *testing.T, msg []byte, binary bool) {
		got, err := d.Decode(msg, binary)
		if depthOf(msg) > 9_000 {
			return // more than encoding/json reads
		}
		head, _, line := strings.Cut(string(msg), "\n")
		if !binary {
			head = string(msg)
		}
		list, isJSON := parseMembers([]byte(head))
		isJSON = isJSON && utf8.ValidString(head) && (line || !binary)
		if err != nil && !isJSON {
			return
		}
		op, want, data, ok := parseServer(lastOfEach(list))
		known := knownServerOp(op)
		switch {
		case err == nil && !isJSON:
			t.Fatalf("%q is accepted", msg)
		case err == nil && known && !ok:
			t.Fatalf("%q is accepted, with a field of a wrong type", msg)
		case err != nil && ok && !known:
			t.Fatalf("%q: unknown op: %v", msg, err)
		case err != nil || !known:
			return
		}
		text := serverText{got.Topic, got.ID, got.Rev, got.From, got.At, got.Cause, got.Reason, got.Conn}
		if text != want || got.Op != op {
			t.Fatalf("%q: %+v, want %+v", msg, got, want)
		}
		if !binary && (compact(t, got.Data) != compact(t, data) || got.HasData != (data != nil)) {
			t.Fatalf("%q: data %q, want %q", msg, got.Data, data)
		}
		checkRewrite(t, msg, got)
	})
}

// checkRewrite checks that a frame is decoded as the same again when the hub's functions write it, if it is one that
// they can write.
func checkRewrite(t *testing.T, msg []byte, f ServerFrame) {
	for _, p := range []string{f.ID, f.Rev, f.At} {
		if _, err := ParsePos(p); p != "" && err != nil {
			return
		}
	}
	again, err := DecodeServer(encode(t, f), f.Binary && !f.Gone)
	if err != nil {
		if f.Binary || !f.HasData {
			return // gone with bytes, or a message without data: no hub says that
		}
		t.Fatalf("%q: written again: %v", msg, err)
	}
	if again.Op != f.Op || f.Sub != 0 && again.Sub == 0 && f.Op != OpPush && !f.HasRef && sentBySub(f.Op) {
		t.Fatalf("%q: written again: %+v", msg, again)
	}
}

// sentBySub reports whether frames of this op are about a subscription.
func sentBySub(op string) bool {
	return op == "" || op == OpOK || op == OpEnd || op == OpGap || op == OpReset
}

func BenchmarkDecodeServer(b *testing.B) {
	h := Head{Topic: "chat.lobby", ID: Pos{100, math.MaxInt64}, HasID: true, From: "ada"}
	msg := append(append(AppendHead(nil, h), sample(128)...), Tail...)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	var d Decoder
	for b.Loop() {
		if _, err := d.Decode(msg, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeServerEncodingJSON(b *testing.B) {
	h := Head{Topic: "chat.lobby", ID: Pos{100, math.MaxInt64}, HasID: true, From: "ada"}
	msg := append(append(AppendHead(nil, h), sample(128)...), Tail...)
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		var f struct {
			Op, Topic, ID, Rev, From string
			Data                     json.RawMessage
		}
		if err := json.Unmarshal(msg, &f); err != nil {
			b.Fatal(err)
		}
	}
}
