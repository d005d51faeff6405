package interop

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// frame is a frame of the hub.
type frame struct {
	Op     string          `json:"op"`
	Sub    int             `json:"sub"`
	Subs   []int           `json:"subs"`
	Ref    int             `json:"ref"`
	Topic  string          `json:"topic"`
	ID     string          `json:"id"`
	At     string          `json:"at"`
	Cause  string          `json:"cause"`
	Reason string          `json:"reason"`
	Code   json.RawMessage `json:"code"`
	Data   json.RawMessage `json:"data"`
	Conn   string          `json:"conn"`
	Ping   int             `json:"ping"`

	bytes string // payload of a binary frame
	raw   string
}

// parse reads a frame from a message of the client.
func (s *session) parse(e event) frame {
	s.t.Helper()
	head, payload := e.data, ""
	if e.kind == evBinary {
		var found bool
		if head, payload, found = strings.Cut(e.data, "\n"); !found {
			s.t.Fatalf("a binary frame without a newline: %v", e)
		}
	}
	f := frame{bytes: payload, raw: e.data}
	if err := json.Unmarshal([]byte(head), &f); err != nil {
		s.t.Fatalf("%v: %v", e, err)
	}
	return f
}

// frame returns the next frame of the hub, and answers its pings.
func (s *session) frame() frame {
	s.t.Helper()
	for {
		f := s.parse(s.next(evText, evBinary))
		if f.Op != "ping" {
			return f
		}
		s.say(`{"op":"pong"}`)
	}
}

// op waits for a frame with this op, and nothing before it.
func (s *session) op(op string) frame {
	s.t.Helper()
	f := s.frame()
	if f.Op != op {
		s.t.Fatalf("the client received %.200q, want op %q", f.raw, op)
	}
	return f
}

// message waits for a message, and nothing before it.
func (s *session) message(topic, data string) frame {
	s.t.Helper()
	f := s.frame()
	s.isMessage(f, topic, data)
	return f
}

func (s *session) isMessage(f frame, topic, data string) {
	s.t.Helper()
	if f.Op != "" || f.Topic != topic || string(f.Data) != data || f.ID == "" {
		s.t.Fatalf("the client received %.200q, want %q of %s", f.raw, data, topic)
	}
}

// hello says hello with the topics given, numbered from 1, and waits for its welcome and until all have joined.
func (s *session) hello(topics ...string) (welcome frame) {
	s.t.Helper()
	subs := make([]string, len(topics))
	for i, topic := range topics {
		subs[i] = fmt.Sprintf(`{"sub":%d,"topic":%q}`, i+1, topic)
	}
	s.say(`{"op":"hello","subs":[%s]}`, strings.Join(subs, ","))
	welcome = s.op("welcome")
	for i := range topics {
		if f := s.op("ok"); f.Sub != i+1 || f.At == "" {
			s.t.Fatalf("the client received %q, want ok of subscription %d", f.raw, i+1)
		}
	}
	return welcome
}

// published waits for the answer to a publish and for the message itself, which may come in either order.
func (s *session) published(ref int, isMessage func(frame)) frame {
	s.t.Helper()
	frames := []frame{s.frame(), s.frame()}
	i := slices.IndexFunc(frames, func(f frame) bool { return f.Op == "ok" && f.Ref == ref })
	if i < 0 {
		s.t.Fatalf("the client received %.200q and %.200q, want ok %d and a message", frames[0].raw, frames[1].raw, ref)
	}
	isMessage(frames[1-i])
	if frames[0].ID != frames[1].ID {
		s.t.Fatalf("the answer names %q and the message %q", frames[i].ID, frames[1-i].ID)
	}
	return frames[1-i]
}
