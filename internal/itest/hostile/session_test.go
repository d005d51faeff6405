package hostile

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"strings"
)

// session is what one hostile client sends: bytes, and where it pauses between them.
type session struct {
	deflate, plain bool
	stream         []byte
	writes         []int // the ends of the pieces in which it is sent
	topic          string
	keys           string // what its idempotency keys begin with
	ref            int
	subs           int
}

// write makes a session. What most of it does is right: what is wrong has to come at any point of it.
func write(s *source, name string) *session {
	x := &session{topic: "h." + name, keys: name}
	x.deflate, x.plain = s.one(4), s.one(10)
	if !x.plain {
		x.say(s, x.hello(s))
	}
	for range s.n(12) {
		x.step(s)
	}
	switch s.n(8) {
	case 5: // it ends anywhere
		if len(x.stream) > 0 {
			x.stream = x.stream[:s.n(len(x.stream))]
		}
	case 6:
		x.frame(s, &rawFrame{fin: true, op: opClose, payload: binary.BigEndian.AppendUint16(nil, uint16(pick(s, 1000, 1001, 4000)))})
	case 7: // a bit is another one
		if len(x.stream) > 0 {
			x.stream[s.n(len(x.stream))] ^= 1 << s.n(8)
		}
	}
	if s.one(3) {
		for at := 0; at < len(x.stream) && len(x.writes) < 64; {
			at += 1 + s.n(pick(s, 2, 16, 300, 5000))
			x.writes = append(x.writes, min(at, len(x.stream)))
		}
	}
	return x
}

func (x *session) step(s *source) {
	switch s.n(14) {
	case 0, 1, 2:
		x.say(s, x.pub(s))
	case 3:
		x.binary(s)
	case 4:
		x.say(s, x.command(s))
	case 5:
		x.say(s, mutate(s, x.pub(s)))
	case 6:
		x.say(s, mutate(s, x.command(s)))
	case 7:
		x.say(s, x.nested(s))
	case 8:
		x.say(s, spoil(s, x.pub(s)))
	case 9:
		x.frame(s, &rawFrame{fin: true, op: pick[byte](s, opPing, opPong), payload: s.bytes(pick(s, 0, 1, 4, 125))})
	case 10:
		x.broken(s)
	case 11:
		x.close(s)
	case 12:
		x.pressed(s)
	default:
		x.say(s, x.large(s))
	}
}

// hello is the first message, which is wrong in any of its members once in a while.
func (x *session) hello(s *source) string {
	var subs []string
	for range s.n(4) {
		subs = append(subs, x.sub(s))
	}
	h := fmt.Sprintf(`{"op":"hello","token":%q,"subs":[%s]}`, pick(s, "", "t", "token"), strings.Join(subs, ","))
	if s.one(3) {
		h = fmt.Sprintf(`{"op":"hello","after":%q}`, pick(s, "", "0.0", "1.1", "zzzzzzzzzzzzzzzz.1", "x", strings.Repeat("9", 300)))
	}
	switch s.n(10) {
	case 7:
		return mutate(s, h)
	case 8:
		return spoil(s, h)
	case 9:
		return pick(s, `{"op":"pong"}`, `hello`, ``, `null`, `[]`, `{"op":"hello"`, `{"op":"hello","subs":[1]}`, `{"op":"hello","subs":{}}`,
			`{"op":"hello","subs":[{}]}`, `{"op":"hello","subs":[{"sub":0}]}`, `{"op":"hello","subs":[{"sub":9007199254740992}]}`,
			`{"op":"hello","subs":[{"sub":1},{"sub":1}]}`, `{"op":"hello","token":1}`, `{"op":"hello","after":{}}`)
	}
	return h
}

// sub is a subscription without its op.
func (x *session) sub(s *source) string {
	x.subs += s.n(3)
	r := fmt.Sprintf(`{"sub":%d,"topic":%q`, x.subs+1, pick(s, x.topic, "h.>", "h.*", "state.>", "presence.*", "secret", "$hub", "a..b", ">", strings.Repeat("h.", 200)))
	if s.one(2) {
		r += pick(s, `,"replay":3`, `,"after":"1.1"`, `,"after":""`, `,"replay":9007199254740991`, `,"after":"x","replay":1`)
	}
	return r + "}"
}

// command is a message that publishes nothing.
func (x *session) command(s *source) string {
	switch s.n(5) {
	case 0:
		return `{"op":"pong"}`
	case 1:
		return `{"op":"sub",` + x.sub(s)[1:]
	case 2:
		return fmt.Sprintf(`{"op":"unsub","sub":%d}`, 1+s.n(5))
	case 3:
		return pick(s, `{"op":"history","ref":7}`, `{"op":"later"}`, `{"op":"later","ref":"x"}`, `{"op":"\u0000"}`)
	}
	return `{"op":"hello"}`
}

// values are payloads of all kinds of JSON.
var values = []string{
	`1`, `"text"`, `null`, `{}`, `[]`, `{"a":[1,2,{"b":null}]}`, `"\u0000\ud83d\ude00\ud800"`, `"é\u2028😀"`, `-0.5e+10`, `9007199254740993`,
	`1e999`, `" "`, `{"op":"ok","ref":1}`, `{"a":1,"a":2}`, "[ 1 ,\n2 ]", `"</script>"`, `true`,
}

func (x *session) pub(s *source) string {
	x.ref++
	topic := x.topic
	if s.one(3) {
		topic = pick(s, "state.a", "presence.b", "signal.c", "secret", "h.*", "h", "", "$h.a", x.topic+".%2E", x.topic+".%41", x.topic+".{user}",
			x.topic+".é", x.topic+" ", x.topic+strings.Repeat("x", 255-len(x.topic)), x.topic+strings.Repeat("x", 256-len(x.topic)))
	}
	m := fmt.Sprintf(`"topic":%q,"data":%s`, topic, values[s.n(len(values))])
	if !s.one(4) {
		m = fmt.Sprintf(`"ref":%d,%s`, x.ref, m)
	}
	if s.one(4) {
		m = fmt.Sprintf(`%s,"key":"%s-%d"`, m, x.keys, s.n(3))
	}
	return `{"op":"pub",` + m + `}`
}

// mutate makes a message one that is wrong, or written as nobody writes it.
func mutate(s *source, m string) string {
	insert := func(member string) string { return strings.Replace(m, "{", "{"+member+",", 1) }
	add := func(member string) string { return m[:len(m)-1] + "," + member + "}" }
	wrong := pick(s, `1`, `-1`, `1.0`, `1e3`, `"1"`, `{}`, `[]`, `true`, `null`, `9007199254740991`, `9007199254740992`, `18446744073709551616`,
		`-0`, `01`, `""`, `[{"sub":1}]`, `"\ud800"`)
	name := pick(s, "op", "ref", "sub", "topic", "key", "token", "after", "replay", "subs", "data", "other", `\u006fp`, "OP")
	switch s.n(7) {
	case 0:
		return insert(fmt.Sprintf(`"%s":%s`, name, wrong))
	case 1:
		return add(fmt.Sprintf(`"%s":%s`, name, wrong))
	case 2: // a byte is missing
		i := s.n(len(m))
		return m[:i] + m[i+1:]
	case 3: // or there is one too many
		i := s.n(len(m))
		return m[:i] + string(rune(s.n(128))) + m[i:]
	case 4:
		return m[:s.n(len(m))]
	case 5:
		return pick(s, " ", "\n\t\r ", "\ufeff", "\x00", "x") + m
	}
	return m + pick(s, " ", "\r\n", "\x00", "x", m)
}

// spoil puts bytes that are no UTF-8 anywhere.
func spoil(s *source, m string) string {
	i := s.n(len(m) + 1)
	return m[:i] + pick(s, "\xff", "\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xf0\x9f\x98", "\xc3") + m[i:]
}

// nested is a publish of data that is deep, around the limit or far beyond it.
func (x *session) nested(s *source) string {
	x.ref++
	n := pick(s, 10, 999, 1000, 1001, 9999, 20000, 30000)
	open, end := "[", "]"
	if s.one(2) {
		open, end, n = `{"":`, "}", min(n, 10000)
	}
	middle := pick(s, "1", "", "x")
	return fmt.Sprintf(`{"op":"pub","ref":%d,"topic":%q,"data":%s}`, x.ref, x.topic, strings.Repeat(open, n)+middle+strings.Repeat(end, n))
}

// large is a publish around the limit of a message.
func (x *session) large(s *source) string {
	x.ref++
	m := fmt.Sprintf(`{"op":"pub","ref":%d,"topic":%q,"data":"`, x.ref, x.topic)
	n := limit - len(m) - 2 + pick(s, -1, 0, 1, 1000, limit)
	return m + strings.Repeat("x", n) + `"}`
}

func (x *session) binary(s *source) {
	x.ref++
	head := fmt.Sprintf(`{"op":"pub","ref":%d,"topic":%q}`, x.ref, x.topic)
	if s.one(4) {
		head = mutate(s, head)
	}
	msg := head + "\n" + string(s.bytes(s.n(200)))
	if s.one(6) {
		msg = head
	}
	x.message(s, opBinary, []byte(msg))
}

func (x *session) say(s *source, m string) { x.message(s, opText, []byte(m)) }

// message sends a message, deflated or not, in pieces or not.
func (x *session) message(s *source, op byte, msg []byte) {
	var rsv byte
	if x.deflate && s.one(2) {
		msg, rsv = deflated(msg), 4
	}
	for s.one(3) {
		if s.one(4) { // between two pieces, if there is one before this
			x.frame(s, &rawFrame{fin: true, op: opPing, payload: []byte("between")})
		}
		n := s.n(len(msg) + 1)
		x.frame(s, &rawFrame{op: op, rsv: rsv, payload: msg[:n]})
		op, rsv, msg = opMore, 0, msg[n:]
	}
	x.frame(s, &rawFrame{fin: true, op: op, rsv: rsv, payload: msg})
}

func deflated(msg []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	_, _ = w.Write(msg)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

func (x *session) frame(s *source, f *rawFrame) {
	copy(f.key[:], s.bytes(4))
	if s.one(8) {
		f.key = [4]byte{}
	}
	x.stream = f.append(x.stream)
}

// broken is a frame that RFC 6455 has no place for.
func (x *session) broken(s *source) {
	f := rawFrame{fin: true, op: opText, payload: []byte(x.pub(s))}
	switch s.n(10) {
	case 0:
		f.rsv = byte(1 + s.n(7))
	case 1:
		f.op = byte(s.n(16))
	case 2:
		f.unmasked = true
	case 3:
		f.op, f.fin = pick[byte](s, opPing, opPong, opClose), false
	case 4:
		f.op, f.payload = pick[byte](s, opPing, opPong, opClose), s.bytes(126+s.n(3))
	case 5:
		f.op, f.fin = opMore, s.one(2)
	case 6:
		f.fin = false // what follows does not continue it
	case 7:
		f.form = pick(s, 2, 8)
	case 8:
		f.claims, f.length = true, pick[uint64](s, 1<<63, 1<<63-1, 1<<62, 1<<40, 1<<32, 1<<16, limit+1, 200)
		f.form = pick(s, 0, 8)
	case 9:
		f.op, f.fin, f.rsv = opMore, true, 4
	}
	x.frame(s, &f)
}

// close is a Close frame of any kind, and perhaps something after it.
func (x *session) close(s *source) {
	p := binary.BigEndian.AppendUint16(nil, uint16(pick(s, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 3999, 4000, 4999, 5000,
		0, 999, 65535)))
	switch s.n(6) {
	case 0:
		p = nil
	case 1:
		p = p[:1]
	case 2:
		p = append(p, strings.Repeat("x", s.n(124))...)
	case 3:
		p = append(p, spoil(s, "because")...)
	case 4:
		p = append(p, strings.Repeat("é", 61)...)
	}
	x.frame(s, &rawFrame{fin: true, op: opClose, payload: p})
	if s.one(2) {
		x.say(s, x.pub(s))
	}
}

// pressed is a deflated message that is none, or is too much.
func (x *session) pressed(s *source) {
	var p []byte
	switch s.n(5) {
	case 0:
		p = s.bytes(1 + s.n(100))
	case 1:
		p = deflated(make([]byte, pick(s, limit, limit+1, 10<<20)))
	case 2:
		p = deflated([]byte(x.pub(s)))
		p = p[:s.n(len(p))]
	case 3:
		p = deflated([]byte(x.pub(s)))
		p[s.n(len(p))] ^= byte(1 << s.n(8))
	case 4: // a last block, and more
		p = append([]byte{1, 0, 0, 0xff, 0xff}, deflated([]byte(x.pub(s)))...)
	}
	n := s.n(len(p) + 1)
	if s.one(2) {
		n = len(p)
	}
	x.frame(s, &rawFrame{fin: n == len(p), op: opText, rsv: 4, payload: p[:n]})
	if n < len(p) {
		x.frame(s, &rawFrame{fin: true, op: opMore, payload: p[n:]})
	}
}
