package hostile

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"unicode/utf8"
)

// This file is an independent reading of RFC 6455 and RFC 7692: what a server has to make of the bytes that a client
// sent before it closed its side. What the messages mean is in meaning_test.go.

// The codes of RFC 6455 §7.4 that matter here. cut: the server ends the connection without a Close frame.
const (
	cut        = -1
	noStatus   = 1005 // a Close frame without a code
	frameError = 1002
	notUTF8    = 1007
	tooBig     = 1009
)

// verdict is what is to come of a session.
type verdict struct {
	codes   []int // of the Close frame: one of these
	answers []string
	pongs   []string // what its pings carried
	later   []string // and those that came after what it is closed for
	pubs    []pub
	plain   int // messages for OnMessage
	why     string

	early bool // it may have been closed before the end: not every ping need be answered
}

// pub is a message that others are to see.
type pub struct {
	topic  string
	binary bool
	data   string
}

type judge struct {
	v       verdict
	b       []byte
	limit   int
	deflate bool

	// The message that is being received.
	op      byte // 0: none
	pressed bool
	msg     []byte
	pieces  int
	early   []int // it may also be closed with these: the server need not wait for the end of a message

	meaning meaning
	muted   bool // messages mean nothing any more
	crossed int  // the code of a Close frame; 0: there was none
}

// rule reads the bytes of a session.
func rule(b []byte, deflate, plain bool, limit int) verdict {
	j := judge{b: b, limit: limit, deflate: deflate}
	j.meaning.plain = plain
	for !j.frame() {
	}
	j.v.answers, j.v.pubs, j.v.plain = j.meaning.answers, j.meaning.pubs, j.meaning.messages
	return j.v
}

// end is the end of the session: with one of the codes.
func (j *judge) end(why string, codes ...int) bool {
	j.v.why = why
	j.v.codes = append(append(j.v.codes, codes...), j.early...)
	j.v.early = len(j.early) > 0
	return true
}

// frame reads one frame, and reports whether it is the last.
func (j *judge) frame() (done bool) {
	b := j.b
	switch {
	case len(b) == 1 && b[0]&0x40 != 0 && !j.deflate:
		return j.incomplete("reserved bits")
	case len(b) < 2:
		return j.end("cut in a header", cut)
	}
	fin, rsv, op := b[0]&0x80 != 0, b[0]>>4&7, b[0]&0xf
	masked, short := b[1]&0x80 != 0, int(b[1]&0x7f)
	control := op >= 8
	wrong := ""
	switch {
	case rsv&3 != 0 || rsv == 4 && (!j.deflate || op != opText && op != opBinary):
		wrong = "reserved bits"
	case op > opBinary && op < opClose || op > opPong:
		wrong = "reserved opcode"
	case !masked:
		wrong = "not masked"
	case control && (!fin || short > 125):
		wrong = "control frame in pieces or too long"
	case op == opMore && j.op == 0:
		wrong = "continues nothing"
	case (op == opText || op == opBinary) && j.op != 0:
		wrong = "a message inside a message"
	}
	b = b[2:]
	var length uint64
	extended := map[int]int{126: 2, 127: 8}[short]
	if len(b) < extended {
		return j.incomplete(wrong)
	}
	switch short {
	case 126:
		if length = uint64(binary.BigEndian.Uint16(b)); length < 126 && wrong == "" {
			wrong = "length not minimal"
		}
	case 127:
		length = binary.BigEndian.Uint64(b)
		if wrong == "" && length > math.MaxInt64 {
			wrong = "length with its highest bit set"
		} else if wrong == "" && length <= math.MaxUint16 {
			wrong = "length not minimal"
		}
	default:
		length = uint64(short)
	}
	b = b[extended:]
	var key []byte
	if masked {
		if len(b) < 4 {
			return j.incomplete(wrong)
		}
		key, b = b[:4], b[4:]
	}
	if wrong != "" {
		return j.end(wrong, frameError)
	}
	whole := length <= uint64(len(b))
	n := len(b)
	if whole {
		n = int(length)
	}
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = b[i] ^ key[i%4]
	}
	j.b = b[n:]
	if control {
		if !whole {
			return j.end("cut in a control frame", cut)
		}
		if op == opPing {
			j.v.pongs = append(j.v.pongs, string(payload))
		}
		return op == opClose && j.close(payload)
	}
	return j.data(op, fin, rsv == 4, whole, payload)
}

// incomplete is the end of a header that is cut short, of which what is there may be wrong already.
func (j *judge) incomplete(wrong string) bool {
	if wrong != "" {
		return j.end(wrong+", in a header that is cut", frameError, cut)
	}
	return j.end("cut in a header", cut)
}

// close is a Close frame: it is answered with its own code, if it has one that may be sent.
func (j *judge) close(p []byte) bool {
	if len(p) == 0 {
		j.crossed = noStatus
		return j.end("closed without a code", noStatus)
	}
	if len(p) == 1 {
		return j.end("Close frame of one byte", frameError)
	}
	code := int(binary.BigEndian.Uint16(p))
	known := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
	switch {
	case !known:
		return j.end("a close code that may not be sent", frameError)
	case !utf8.Valid(p[2:]):
		return j.end("a close reason that is not UTF-8", notUTF8)
	}
	j.crossed = code
	return j.end("closed", code)
}

func (j *judge) data(op byte, fin, pressed, whole bool, p []byte) (done bool) {
	if op != opMore {
		j.op, j.pressed, j.msg, j.pieces = op, pressed, nil, 0
	}
	j.msg = append(j.msg, p...)
	j.pieces++
	switch {
	case j.pressed && len(j.msg) > j.limit+j.limit/8+64: // what does not deflate may grow by that
		return j.end("too big, deflated", tooBig)
	case j.pressed:
	case len(j.msg) > j.limit:
		return j.end("too big", tooBig)
	case j.op == opText && !utf8.Valid(j.msg):
		j.early = []int{notUTF8}
	}
	if !whole {
		return j.end("cut in a frame", cut)
	}
	if !fin {
		return false
	}
	msg := j.msg
	j.early = nil
	if j.pressed && !j.muted {
		var err error
		if msg, err = inflate(msg, j.limit); err != nil {
			code := frameError
			if errors.Is(err, errTooMuch) {
				code = tooBig
			}
			return j.end(err.Error(), code, j.crossing())
		}
	}
	isText := j.op == opText
	j.op, j.msg = 0, nil
	if j.muted {
		return false
	}
	code, why := j.meaning.message(msg, isText)
	if code != 0 {
		return j.end(why, code, j.crossing())
	}
	return false
}

// crossing is the code of a Close frame that follows what the connection is closed for, or 0: the two cross, and either may be
// the answer.
func (j *judge) crossing() int {
	next := judge{b: j.b, limit: j.limit, deflate: j.deflate, muted: true}
	for !next.frame() {
	}
	j.v.later = next.v.pongs
	return next.crossed
}

var (
	errTooMuch = errors.New("inflates to too much")
	errDeflate = errors.New("does not inflate")
)

// inflate is RFC 7692 §7.2.2. After a last block another stream may begin, at the next byte, which refers to the same window.
func inflate(b []byte, limit int) (msg []byte, err error) {
	const flushed = "\x00\x00\xff\xff"
	rest := append(bytes.Clone(b), flushed...)
	for n := 0; ; n++ {
		if string(rest) == flushed && n > 0 || len(rest) == 0 {
			return msg, nil
		}
		if n == 16 {
			return nil, errDeflate // a message of so many streams is none that anybody sends
		}
		in := bytes.NewReader(append(bytes.Clone(rest), 1, 0, 0, 0xff, 0xff))
		more, err := io.ReadAll(io.LimitReader(flate.NewReaderDict(in, msg), int64(limit-len(msg))+1))
		switch msg = append(msg, more...); {
		case len(msg) > limit:
			return nil, errTooMuch
		case err != nil:
			return nil, errDeflate
		case in.Len() == 0: // with the block that is added here
			return msg, nil
		case in.Len() < 5:
			return nil, errDeflate
		}
		rest = rest[len(rest)+5-in.Len():]
	}
}
