package frame

import (
	"compress/flate"
	"sync"
)

// Deflater deflates messages. A flate.Writer takes 1.17 MB, so a hub has one Deflater, and the Deflater as many writers
// as are in use at once. It is safe for concurrent use.
type Deflater struct {
	pool sync.Pool // of *deflateWriter
}

// deflateWriter is a flate.Writer that appends to a slice.
type deflateWriter struct {
	flate *flate.Writer
	out   []byte
}

// Write appends p to the slice.
func (w *deflateWriter) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	return len(p), nil
}

// NewDeflater returns a Deflater of compression level 1: higher ones gain little on short messages and cost much more.
func NewDeflater() *Deflater {
	return &Deflater{pool: sync.Pool{New: func() any {
		w := new(deflateWriter)
		var err error
		if w.flate, err = flate.NewWriter(w, flate.BestSpeed); err != nil {
			panic(err) // only an invalid level is an error
		}
		return w
	}}}
}

// tailSize is that of the empty block that a flush ends with, 00 00 ff ff, which is not sent (RFC 7692 §7.2.1).
const tailSize = 4

// Append appends the payload of a permessage-deflate message that says payload, and returns the extended slice. It
// refers to no earlier message (no context takeover, RFC 7692 §7.1.1), so that it can go to every connection. It may be
// longer than payload.
func (d *Deflater) Append(dst, payload []byte) []byte {
	w := d.pool.Get().(*deflateWriter)
	w.out = dst
	w.flate.Reset(w)
	_, _ = w.flate.Write(payload) // neither fails: Write of deflateWriter doesn't
	_ = w.flate.Flush()
	dst = w.out[:len(w.out)-tailSize]
	w.out = nil
	d.pool.Put(w)
	return dst
}
