package frame

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math"
	"sync"
)

// Errors of Inflate.
var (
	ErrDeflate = errors.New("frame: a message that does not inflate")
	ErrTooBig  = errors.New("frame: a message that is larger than it may be")
)

// inflater is a flate.Reader, which takes 40 KB, and what it reads from.
type inflater struct {
	in    bytes.Reader
	flate io.ReadCloser
}

var inflaters = sync.Pool{New: func() any {
	f := new(inflater)
	f.flate = flate.NewReader(&f.in)
	return f
}}

// tail is the end of a flush, which is not sent (RFC 7692 §7.2.2), and an empty last block, so that the reader ends.
const tail = "\x00\x00\xff\xff" + "\x01\x00\x00\xff\xff"

// window is how far back a block may refer (RFC 1951 §2).
const window = 32 << 10

// streams is how many there may be in a message: each ends with a last block, but the padding behind those is one, too. Each
// costs a window to go on from, and takes two bytes.
const streams = 16

// Inflate returns what a permessage-deflate message says that refers to no earlier one. It may write over what follows payload
// in its array. The error is ErrTooBig for more than limit bytes, and ErrDeflate for what RFC 7692 does not allow, such
// as an end in the middle of a block. A last block, which is the end for compress/flate, may be followed by others (§7.2.3.4).
func Inflate(payload []byte, limit int) (msg []byte, err error) {
	f := inflaters.Get().(*inflater)
	defer func() {
		f.in.Reset(nil)
		inflaters.Put(f)
	}()
	f.in.Reset(append(payload, tail...))
	for range streams {
		back := msg[max(0, len(msg)-window):]
		if err := f.flate.(flate.Resetter).Reset(&f.in, back); err != nil {
			return nil, err
		}
		if msg, err = ReadAll(f.flate, msg, limit); err == ErrTooBig {
			return nil, err
		} else if err != nil {
			return nil, ErrDeflate
		}
		// A last block may also be the end of the message without the padding that §7.2.3.4 has it followed by.
		if rest := f.in.Len(); rest == 0 || rest == len(tail) {
			return msg, nil
		}
	}
	return nil, ErrDeflate
}

// ReadAll is io.ReadAll into a buffer that is there already, or nil, up to limit bytes, for which it makes room and one more. The
// error is ErrTooBig if there are more.
func ReadAll(r io.Reader, b []byte, limit int) ([]byte, error) {
	limit = min(limit, math.MaxInt-1)
	for {
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(max(512, len(b)+len(b)/2), limit+1)), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			return b, ErrTooBig
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		}
	}
}
