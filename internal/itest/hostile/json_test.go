package hostile

import (
	"encoding/json"
	"unicode/utf8"
)

// This file reads JSON (RFC 8259) by recursive descent, on its own: it shares nothing with the hub's scanner.

type value struct {
	raw     []byte
	depth   int // arrays and objects
	members []member
	items   []value
}

type member struct {
	key string
	val value
}

// last returns the value of a member, the last one if there are several; null is not there.
func (v *value) last(key string) (val value, ok bool) {
	for i := range v.members {
		if v.members[i].key == key {
			val, ok = v.members[i].val, true
		}
	}
	return val, ok && string(val.raw) != "null"
}

// parse reads one value that is all of b.
func parse(b []byte) (v value, ok bool) {
	if !utf8.Valid(b) {
		return v, false
	}
	p := parser{b: b}
	p.space()
	v, ok = p.value()
	p.space()
	return v, ok && p.i == len(b)
}

type parser struct {
	b []byte
	i int
}

func (p *parser) peek() byte {
	if p.i < len(p.b) {
		return p.b[p.i]
	}
	return 0
}

func (p *parser) is(c byte) bool {
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) space() {
	for p.is(' ') || p.is('\t') || p.is('\n') || p.is('\r') {
	}
}

func (p *parser) value() (v value, ok bool) {
	from := p.i
	switch c := p.peek(); {
	case c == '{':
		ok = p.list('}', &v)
	case c == '[':
		ok = p.list(']', &v)
	case c == '"':
		_, ok = p.text()
	case c == 't':
		ok = p.word("true")
	case c == 'f':
		ok = p.word("false")
	case c == 'n':
		ok = p.word("null")
	default:
		ok = p.number()
	}
	v.raw = p.b[from:p.i]
	return v, ok
}

// list reads an object or array.
func (p *parser) list(end byte, v *value) bool {
	p.i++
	v.depth = 1
	p.space()
	for first := true; !p.is(end); first = false {
		if !first && !p.is(',') {
			return false
		}
		p.space()
		key := ""
		if end == '}' {
			var ok bool
			if key, ok = p.text(); !ok {
				return false
			}
			if p.space(); !p.is(':') {
				return false
			}
			p.space()
		}
		x, ok := p.value()
		if !ok {
			return false
		}
		v.depth = max(v.depth, x.depth+1)
		if end == '}' {
			v.members = append(v.members, member{key, x})
		} else {
			v.items = append(v.items, x)
		}
		p.space()
	}
	return true
}

func (p *parser) text() (s string, ok bool) {
	from := p.i
	if !p.is('"') {
		return "", false
	}
	for !p.is('"') {
		switch c := p.peek(); {
		case c < 0x20: // the end, too
			return "", false
		case c == '\\':
			p.i++
			switch e := p.peek(); e {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					p.i++
					if c := p.peek(); (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
						return "", false
					}
				}
			default:
				return "", false
			}
			p.i++
		default:
			p.i++
		}
	}
	ok = json.Unmarshal(p.b[from:p.i], &s) == nil
	return s, ok
}

func (p *parser) word(w string) bool {
	if len(p.b)-p.i < len(w) || string(p.b[p.i:p.i+len(w)]) != w {
		return false
	}
	p.i += len(w)
	return true
}

func (p *parser) digits() bool {
	from := p.i
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.i++
	}
	return p.i > from
}

func (p *parser) number() bool {
	p.is('-')
	if !p.is('0') && !p.digits() {
		return false
	}
	if p.is('.') && !p.digits() {
		return false
	}
	if p.is('e') || p.is('E') {
		if !p.is('+') {
			p.is('-')
		}
		return p.digits()
	}
	return true
}

// The types of the protocol's members.

func (v *value) text() (s string, ok bool) {
	if len(v.raw) == 0 || v.raw[0] != '"' {
		return "", false
	}
	ok = json.Unmarshal(v.raw, &s) == nil
	return s, ok
}

// integer reads one from low to 2^53-1, without fraction and exponent.
func (v *value) integer(low int64) (n int64, ok bool) {
	if json.Unmarshal(v.raw, &n) != nil {
		return 0, false
	}
	for _, c := range v.raw {
		if (c < '0' || c > '9') && c != '-' {
			return 0, false
		}
	}
	return n, n >= low && n <= 1<<53-1
}
