//go:build linux

package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
)

// parser takes the frames of a server apart (RFC 6455 §5.2).
type parser struct {
	buf      []byte // of a frame that is not whole
	parts    []byte // of a message that is not whole
	deflated bool   // it is
	messages int    // that held a payload
	inflater io.ReadCloser
}

// feed calls f with each message. The slice is valid during the call.
func (p *parser) feed(b []byte, f func(msg []byte)) {
	if len(p.buf) > 0 {
		p.buf = append(p.buf, b...)
		b = p.buf
	}
	for {
		if len(b) < 2 {
			break
		}
		size, head := int(b[1]&0x7f), 2
		switch size {
		case 126:
			head = 4
		case 127:
			head = 10
		}
		if len(b) < head {
			break
		}
		switch size {
		case 126:
			size = int(binary.BigEndian.Uint16(b[2:]))
		case 127:
			size = int(binary.BigEndian.Uint64(b[2:]))
		}
		if len(b) < head+size {
			break
		}
		if b[0]&0x08 == 0 {
			p.frame(b[0], b[head:head+size], f)
		}
		b = b[head+size:]
	}
	p.buf = append(p.buf[:0], b...)
	if len(p.buf) == 0 {
		p.buf = nil
	}
}

func (p *parser) frame(first byte, msg []byte, f func(msg []byte)) {
	const fin, deflated, opcode = 0x80, 0x40, 0x0f
	if first&opcode != 0 {
		p.deflated = first&deflated != 0
	}
	if first&fin == 0 || len(p.parts) > 0 {
		p.parts = append(p.parts, msg...)
		if first&fin == 0 {
			return
		}
		msg, p.parts = p.parts, nil
	}
	if p.deflated {
		msg = p.inflate(msg)
	}
	f(msg)
}

// inflate undoes permessage-deflate without context takeover (RFC 7692 §7.2.2).
func (p *parser) inflate(b []byte) []byte {
	r := io.MultiReader(bytes.NewReader(b), bytes.NewReader([]byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}))
	if p.inflater == nil {
		p.inflater = flate.NewReader(r)
	} else if err := p.inflater.(flate.Resetter).Reset(r, nil); err != nil {
		exit(err)
	}
	msg, err := io.ReadAll(p.inflater)
	if err != nil {
		exit(err)
	}
	return msg
}
