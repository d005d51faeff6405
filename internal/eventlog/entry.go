package eventlog

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/gohotline/hotline/internal/frame"
	"github.com/gohotline/hotline/internal/wire"
)

// Entry is a message as it is read: a frame that all readers share and must not change.
type Entry struct {
	Pos    Pos
	Topic  *Topic
	Frame  []byte // a whole WebSocket frame
	Data   int    // where the payload's data begins in Frame
	When   int64  // Unix nanoseconds
	Binary bool
	Gone   bool // a State topic was cleared: there is no data
	Loss   bool // not a message: what matches the pattern in Payload was lost here
}

func (s *segment) entry(l *Log, i int, e *Entry) {
	s.fill(&s.recs[i], l.pages.get(s.topics[i]), e)
}

func (s *segment) fill(r *record, t *Topic, e *Entry) {
	r.entry(t, s.frame(r), e)
}

func (r *record) entry(t *Topic, frame []byte, e *Entry) {
	*e = Entry{
		Pos: Pos{Seq: r.seq, Tag: r.tag}, Topic: t, Frame: frame, Data: int(r.data), When: r.when,
		Binary: r.flags&flagBinary != 0, Loss: r.flags&flagLoss != 0,
	}
}

// tooOld reports whether the entry is older than its topic's MaxAge.
func (e *Entry) tooOld(now time.Time) bool {
	m := e.Topic.Row.MaxAge
	return m > 0 && now.UnixNano()-e.When >= int64(m)
}

// Payload is what was published: JSON, or bytes if Binary; nil if Gone.
func (e *Entry) Payload() []byte {
	switch {
	case e.Gone:
		return nil
	case e.Binary:
		return e.Frame[e.Data:]
	default:
		return e.Frame[e.Data : len(e.Frame)-len(wire.Tail)]
	}
}

// Body is the payload of the WebSocket frame: the head, the data, the tail.
func (e *Entry) Body() []byte {
	h, _ := frame.ParseHeader(e.Frame)
	return e.Frame[h.Size:]
}

// From is who published it.
func (e *Entry) From() string {
	h, _ := frame.ParseHeader(e.Frame)
	head := e.Frame[h.Size:e.Data]
	if e.Gone {
		head = e.Frame[h.Size:]
	}
	// The quotes inside a JSON string are escaped, so this can only be the key.
	i := bytes.LastIndex(head, []byte(`,"from":`))
	if i < 0 {
		return ""
	}
	var from string
	d := json.NewDecoder(bytes.NewReader(head[i+len(`,"from":`):]))
	if d.Decode(&from) != nil {
		return ""
	}
	return from
}

// encode makes the frame of a message that is not in the log.
func encode(h wire.Head, data []byte) (b []byte, at int) {
	head := wire.AppendHead(make([]byte, 0, 128+len(h.Topic)+len(h.From)), h)
	tail, op := wire.Tail, frame.Text
	if h.Gone {
		data, tail = nil, ""
	} else if h.Binary {
		tail, op = "", frame.Binary
	}
	n := len(head) + len(data) + len(tail)
	b = frame.AppendHeader(make([]byte, 0, frame.MaxHeader+n), op, n, false)
	b = append(b, head...)
	at = len(b)
	b = append(append(b, data...), tail...)
	return b, at
}

// Signal makes a message that is not kept: of a Signals topic, or sent to one connection.
func Signal(t *Topic, h wire.Head, data []byte, now time.Time) Entry {
	b, at := encode(h, data)
	return Entry{Topic: t, Frame: b, Data: at, Binary: h.Binary, When: now.UnixNano()}
}
