package wire

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const vectorDir = "../../testdata/protocol"

// vector is one entry of the files that hold messages. The message is Text; or Head, a newline and Bytes, which is
// binary; or the bytes Hex; or Parts, each a text and how many times it stands there.
type vector struct {
	Name   string          `json:"name"`
	From   string          `json:"from"`
	Text   *string         `json:"text"`
	Head   *string         `json:"head"`
	Bytes  string          `json:"bytes"`
	Hex    *string         `json:"hex"`
	Binary bool            `json:"binary"`
	Parts  [][2]any        `json:"parts"`
	Fields json.RawMessage `json:"fields"`
	Depth  int             `json:"depth"` // of data that Fields leaves out
	Close  int             `json:"close"`
}

// message returns what travels.
func (v *vector) message(t testing.TB) (msg []byte, binary bool) {
	t.Helper()
	switch {
	case v.Text != nil:
		return []byte(*v.Text), false
	case v.Head != nil:
		return append([]byte(*v.Head+"\n"), unhex(t, v.Bytes)...), true
	case v.Hex != nil:
		return unhex(t, *v.Hex), v.Binary
	case v.Parts != nil:
		for _, p := range v.Parts {
			msg = append(msg, strings.Repeat(p[0].(string), int(p[1].(float64)))...)
		}
		return msg, false
	}
	t.Fatalf("vector %q has no message", v.Name)
	return nil, false
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// load reads a file of vectors into v.
func load(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(vectorDir, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// vectors reads the message vectors of a file, without those of the other side.
func vectors(t testing.TB, name, from string) []vector {
	t.Helper()
	var all, list []vector
	load(t, name, &all)
	for _, v := range all {
		if v.From == "" || v.From == from {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s has no vectors from %s", name, from)
	}
	return list
}

// fields is what a message means, decoded by encoding/json so that nothing of this package decodes what it is checked
// against.
type fields struct {
	Op     string          `json:"op"`
	Token  string          `json:"token"`
	After  string          `json:"after"`
	Subs   json.RawMessage `json:"subs"`
	Sub    int64           `json:"sub"`
	Topic  string          `json:"topic"`
	Replay int             `json:"replay"`
	Ref    *uint64         `json:"ref"`
	Key    string          `json:"key"`
	Data   json.RawMessage `json:"data"`
	ID     string          `json:"id"`
	Rev    string          `json:"rev"`
	From   string          `json:"from"`
	Gone   bool            `json:"gone"`
	At     string          `json:"at"`
	Cause  string          `json:"cause"`
	Missed uint64          `json:"missed"`
	Held   bool            `json:"held"`
	Code   any             `json:"code"`
	Reason string          `json:"reason"`
	Again  bool            `json:"again"`
	Retry  *int64          `json:"retry"`
	Conn   string          `json:"conn"`
	Ping   int64           `json:"ping"`
	Grace  int64           `json:"grace"`
	Max    struct {
		In   int `json:"in"`
		Out  int `json:"out"`
		Subs int `json:"subs"`
	} `json:"max"`
}

func (v *vector) fields(t testing.TB) (f fields) {
	t.Helper()
	if err := json.Unmarshal(v.Fields, &f); err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	return f
}

// request is the Request that the vector's fields describe.
func (v *vector) request(t testing.TB) Request {
	t.Helper()
	f := v.fields(t)
	r := Request{Op: f.Op, Token: f.Token, After: f.After, Sub: f.Sub, Topic: f.Topic, Replay: f.Replay, Key: f.Key, Data: f.Data}
	if f.Ref != nil {
		r.Ref, r.HasRef = *f.Ref, true
	}
	if f.Subs != nil {
		if err := json.Unmarshal(f.Subs, &r.Subs); err != nil { // matches the names of SubRequest by case folding
			t.Fatal(err)
		}
	}
	if v.Head != nil && f.Op == OpPub {
		r.Binary, r.Data = true, unhex(t, v.Bytes)
	}
	return r
}

// serverFrame is the ServerFrame that the vector's fields describe.
func (v *vector) serverFrame(t testing.TB) ServerFrame {
	t.Helper()
	f := v.fields(t)
	s := ServerFrame{
		Op: f.Op, Sub: f.Sub, Topic: f.Topic, ID: f.ID, Rev: f.Rev, From: f.From,
		Data: f.Data, HasData: f.Data != nil, Gone: f.Gone,
		At: f.At, Cause: f.Cause, Missed: f.Missed, Held: f.Held, Reason: f.Reason, Again: f.Again, Conn: f.Conn,
		Ping: time.Duration(f.Ping) * time.Millisecond, Grace: time.Duration(f.Grace) * time.Millisecond,
		MaxIn: f.Max.In, MaxOut: f.Max.Out, MaxSubs: f.Max.Subs,
	}
	switch code := f.Code.(type) {
	case string:
		s.Code = code
	case float64:
		s.CloseCode = int(code)
	}
	if f.Ref != nil {
		s.Ref, s.HasRef = *f.Ref, true
	}
	if f.Retry != nil {
		s.Retry, s.HasRetry = time.Duration(*f.Retry)*time.Millisecond, true
	}
	if f.Subs != nil {
		if err := json.Unmarshal(f.Subs, &s.Subs); err != nil {
			t.Fatal(err)
		}
	}
	if v.Head != nil {
		s.Binary, s.HasData, s.Data = true, true, unhex(t, v.Bytes)
	}
	return s
}
