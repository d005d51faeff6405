package hostile

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// This file is an independent reading of PROTOCOL.md: what a hub has to make of a client's messages.

const (
	protocolError = 3502
	maxDepth      = 1000
)

// The topics that clients may use, by kind.
var roots = []string{"h", "state", "presence", "signal"}

// meaning follows one connection.
type meaning struct {
	plain    bool
	hello    bool
	messages int
	keys     map[string]bool
	answers  []string
	pubs     []pub
}

// message is one message; code is what it is closed for, or 0.
func (m *meaning) message(msg []byte, text bool) (code int, why string) {
	if m.plain {
		return m.plainMessage(msg, text)
	}
	head, tail := msg, []byte(nil)
	if !text {
		var ok bool
		if head, tail, ok = bytes.Cut(msg, []byte("\n")); !ok {
			return protocolError, "a binary message without a header line"
		}
	}
	if !utf8.Valid(head) {
		return notUTF8, "not UTF-8"
	}
	v, ok := parse(head)
	if !ok || v.raw[0] != '{' {
		return protocolError, "no JSON object"
	}
	opValue, _ := v.last("op")
	op, ok := opValue.text()
	if !ok || op == "" {
		return protocolError, "no op"
	}
	known := op == "hello" || op == "sub" || op == "unsub" || op == "pub" || op == "pong"
	if known {
		if wrong := mistyped(&v); wrong != "" {
			return protocolError, wrong + " of a wrong type"
		}
		_, numbered := v.last("sub")
		switch {
		case (op == "sub" || op == "unsub") && !numbered:
			return protocolError, op + " without a number"
		case !text && op != "pub":
			return protocolError, op + " in a binary message"
		}
	}
	switch {
	case m.hello != (op != "hello"):
		return protocolError, "hello first, and once"
	case op == "hello":
		m.hello = true
	case op == "pub":
		m.pub(&v, text, tail)
	case !known:
		m.unknown(&v)
	}
	return 0, ""
}

func (m *meaning) plainMessage(msg []byte, text bool) (code int, why string) {
	if text && !utf8.Valid(msg) {
		return notUTF8, "not UTF-8"
	}
	first := m.messages == 0
	if v, ok := parse(msg); ok && first {
		opValue, _ := v.last("op")
		if op, _ := opValue.text(); op == "hello" && mistyped(&v) == "" {
			return protocolError, "hello on a plain connection"
		}
	}
	m.messages++
	return 0, ""
}

var integers = map[string]int64{"sub": 1, "ref": 0, "replay": 0}

// mistyped names a member that is of a wrong type.
func mistyped(v *value) string {
	for _, key := range []string{"op", "token", "after", "topic", "key"} {
		if x, ok := v.last(key); ok {
			if _, ok = x.text(); !ok {
				return key
			}
		}
	}
	for key, low := range integers {
		if x, ok := v.last(key); ok {
			if _, ok = x.integer(low); !ok {
				return key
			}
		}
	}
	subs, ok := v.last("subs")
	if !ok {
		return ""
	}
	if subs.raw[0] != '[' {
		return "subs"
	}
	for _, s := range subs.items {
		if _, numbered := s.last("sub"); s.raw[0] != '{' || !numbered {
			return "subs"
		}
		for _, key := range []string{"sub", "topic", "after", "replay"} {
			x, ok := s.last(key)
			if !ok {
				continue
			}
			if low, isInt := integers[key]; isInt {
				_, ok = x.integer(low)
			} else {
				_, ok = x.text()
			}
			if !ok {
				return "subs." + key
			}
		}
	}
	return ""
}

func (m *meaning) unknown(v *value) {
	ref, ok := v.last("ref")
	n, isInt := ref.integer(0)
	if ok && isInt {
		m.answers = append(m.answers, fmt.Sprint("err ", n, " unknown"))
	} else {
		m.answers = append(m.answers, "err unknown")
	}
}

// pub is a publish that is one.
func (m *meaning) pub(v *value, text bool, tail []byte) {
	topicValue, _ := v.last("topic")
	topic, _ := topicValue.text()
	keyValue, _ := v.last("key")
	key, _ := keyValue.text()
	refValue, answered := v.last("ref")
	ref, _ := refValue.integer(0)
	data := value{raw: []byte("null")}
	for _, x := range v.members {
		if x.key == "data" {
			data = x.val
		}
	}
	if !text {
		data = value{raw: tail}
	}
	answer := func(s string) {
		if answered {
			m.answers = append(m.answers, s)
		}
	}
	root, _, deep := strings.Cut(topic, ".")
	allowed := false
	for _, r := range roots {
		allowed = allowed || deep && r == root
	}
	switch {
	case !soundTopic(topic), data.depth > maxDepth:
		answer(fmt.Sprint("err ", ref, " invalid"))
		return
	case !allowed:
		answer(fmt.Sprint("err ", ref, " denied"))
		return
	}
	answer(fmt.Sprint("ok ", ref))
	if root != "h" {
		return
	}
	if key != "" {
		if m.keys == nil {
			m.keys = make(map[string]bool)
		}
		if id := topic + " " + key; m.keys[id] {
			return
		} else {
			m.keys[id] = true
		}
	}
	m.pubs = append(m.pubs, pub{topic, !text, string(data.raw)})
}

// soundTopic is the grammar of topics, without wildcards.
func soundTopic(s string) bool {
	if len(s) == 0 || len(s) > 255 || !utf8.ValidString(s) || s[0] == '$' {
		return false
	}
	for _, seg := range strings.Split(s, ".") {
		if seg == "" || strings.ContainsAny(seg, "*>{} \x7f") {
			return false
		}
		for i := 0; i < len(seg); i++ {
			switch c := seg[i]; {
			case c < 0x20:
				return false
			case c != '%' || seg == "%":
			case i+2 >= len(seg) || !escaped(seg[i+1:i+3]):
				return false
			default:
				i += 2
			}
		}
	}
	return true
}

// escaped reports whether %hh is written where it has to be: of what may not stand for itself.
func escaped(hh string) bool {
	const digits = "0123456789ABCDEF"
	hi, lo := strings.IndexByte(digits, hh[0]), strings.IndexByte(digits, hh[1])
	if hi < 0 || lo < 0 {
		return false
	}
	c := byte(hi<<4 | lo)
	return c < 0x20 || c == 0x7f || c >= 0x80 || strings.IndexByte(" .*>{}%", c) >= 0
}
