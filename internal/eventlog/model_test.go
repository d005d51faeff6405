package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gohotline/hotline/internal/pattern"
	"github.com/gohotline/hotline/internal/wire"
)

// The model holds every entry that was ever appended in a slice, and where it is by now. It is told by the log only up
// to where that has evicted, which is the log's own affair, and derives all else from the rules.

type place string

const (
	inLog  place = "in the log"
	inTail place = "kept"
	lost   place = "lost"
)

// message is an entry as the model has it.
type message struct {
	pos    Pos
	public Pos
	topic  string // of a loss: the pattern
	loss   bool
	frame  []byte
	when   time.Time
	place  place
}

func (x *message) String() string { return fmt.Sprintf("%d of %s, %s", x.pos.Seq, x.topic, x.place) }

const modelShards = 3

var (
	modelTopics   = []string{"a.1", "a.2", "a.3", "a.b.c", "k.1", "k.2", "k.b.c", "m.1", "m.2", "x.1", "x.2", "lonely"}
	modelPatterns = []string{">", "a.*", "k.>", "*.1", "x.*", "a.b.>", "*.*", "m.*", "*.b.c", "z.>"}
	modelRows     = map[string]*Row{
		"k": {Keep: 3}, "m": {MaxAge: 30 * time.Second}, "x": {Keep: 5, MaxAge: 20 * time.Second},
	}
)

// model is a log and what it ought to do.
type model struct {
	log  *Log
	rng  *rand.Rand // for what the input says nothing of
	now  time.Time
	row  func(string) *Row
	all  []*message
	head Pos

	shift, steps uint64 // of a log that a broker numbers: its losses, and those since its newest entry,
	real         Pos    // which is this one

	size int // KeptBytes

	evicted int                   // messages of all that have left the log
	logged  map[string]int        // messages in the log, by topic
	tail    map[string][]*message // that are kept
	tails   []string              // topics with a kept tail, the one that loses it first first
	kept    int                   // bytes

	subs      [modelShards]map[string]int
	wild      [modelShards]int
	followers [modelShards]*modelFollower
	readers   []*modelReader
	base      Pos

	sabotage func(*Result) // falsifies what is read, but for replays
	errs     bool          // patterns may be told of losses that they don't have
}

// modelFailure is how a model ends that was contradicted.
type modelFailure string

func (m *model) failf(format string, args ...any) { panic(modelFailure(fmt.Sprintf(format, args...))) }

func newModel(in *modelInput) *model {
	m := &model{rng: rand.New(rand.NewPCG(1, 2)), now: epoch, row: rowsOf(modelRows)}
	m.logged, m.tail = make(map[string]int), make(map[string][]*message)
	flags := in.byte()
	tag := uint64(7)
	if flags&1 != 0 {
		tag = 0
	}
	m.size = []int{1 << 20, 4 << 10}[flags>>1&1]
	m.log = New(Options{
		Bytes: []int{24 << 10, 64 << 10}[flags>>2&1], Age: time.Minute, KeptBytes: m.size, StateBytes: 1 << 20, Values: 10,
		Tombstones: time.Minute, Shards: modelShards, Tag: tag, Row: m.row, Live: func(uint64, Live) {},
	})
	m.base = Pos{Tag: tag}
	if tag == 0 && flags&8 != 0 {
		m.base = Pos{Seq: 1000, Tag: 5}
		m.log.Advance(m.base)
		m.real = m.base
	}
	m.head = m.base
	for i := range modelShards {
		m.subs[i] = make(map[string]int)
		if flags>>(4+i)&1 != 0 {
			m.followers[i] = &modelFollower{f: m.log.Follow(i), shard: i, at: m.base.Seq, passed: m.base.Seq}
		}
	}
	return m
}

// modelInput decodes a string into decisions. At its end all of them are zero.
type modelInput struct{ b []byte }

func (in *modelInput) byte() byte {
	if len(in.b) == 0 {
		return 0
	}
	c := in.b[0]
	in.b = in.b[1:]
	return c
}

func (in *modelInput) n(n int) int { return int(in.byte()) % n }

func pick[T any](in *modelInput, of []T) T { return of[in.n(len(of))] }

// runModel runs the operations that b says on a model that is changed before, if change is not nil. It returns what
// contradicts the model, or "".
func runModel(b []byte, change func(*model)) (failure string) {
	in := &modelInput{b}
	m := newModel(in)
	if change != nil {
		change(m)
	}
	op := ""
	defer func() {
		if v := recover(); v != nil {
			f, ok := v.(modelFailure)
			if !ok {
				panic(v)
			}
			failure = op + ": " + string(f)
		}
	}()
	ops := []struct {
		name string
		do   func(*modelInput)
	}{
		{"append", m.append}, {"append", m.append}, {"append", m.append}, {"age", m.age}, {"lose", m.lose},
		{"reader", m.newReader}, {"end", m.endReader}, {"read", m.read}, {"read", m.read}, {"read", m.read},
		{"drain", m.drain}, {"newest", m.newest}, {"replay", m.newReplay}, {"knows", m.knows}, {"oldest", m.oldest},
		{"step", m.step}, {"step", m.step}, {"sleep", m.sleep}, {"sleep", m.sleep}, {"wake", m.wake}, {"full", m.full},
	}
	for len(in.b) > 0 {
		x := pick(in, ops)
		op = x.name
		x.do(in)
		m.check()
	}
	op = "the end"
	for _, f := range m.followers {
		f.drain(m)
	}
	for len(m.readers) > 0 {
		m.readToEnd(m.readers[0])
		m.end(0)
	}
	m.check()
	return ""
}

// append stores up to 32 entries on one topic.
func (m *model) append(in *modelInput) {
	topic := pick(in, modelTopics)
	shape := in.byte()
	size := int(in.byte()) * int(shape>>5)
	for range shape&31 + 1 {
		if !m.store(topic, size, false) {
			return
		}
	}
}

func (m *model) lose(in *modelInput) {
	if m.log.opts.Tag == 0 {
		m.store(pick(in, slices.Concat(modelTopics, modelPatterns)), 0, true)
	}
}

// done is a context that is over: who has to wait fails at once.
var done = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func (m *model) store(topic string, size int, loss bool) bool {
	pos := Pos{Seq: m.head.Seq + 1, Tag: m.log.opts.Tag}
	x := &message{topic: topic, loss: loss, when: m.now, place: inLog}
	a := Append{Topic: topic, From: []string{"", "ada"}[m.rng.IntN(2)], When: m.now, Binary: m.rng.IntN(4) == 0}
	a.Data = fmt.Appendf(nil, `"%d%s"`, pos.Seq, strings.Repeat("x", size))
	if loss {
		a = Append{Topic: "", Data: []byte(topic), Loss: true, When: m.now}
	}
	id := pos
	switch {
	case loss: // takes the next number of the log's, and none of the broker's
		pos.Tag = m.real.Tag + (m.steps+1)*lossStep
		x.public = Pos{Seq: m.real.Seq, Tag: pos.Tag}
	case m.log.brokered():
		pos = Pos{Seq: m.head.Seq + 1 + uint64(m.rng.IntN(3)), Tag: uint64(1 + m.rng.IntN(3))}
		id = Pos{Seq: pos.Seq - m.shift, Tag: pos.Tag}
		a.Pos, x.public = id, id
	default:
		x.public = pos
	}
	x.pos = pos
	x.frame, _ = encode(wire.Head{Topic: a.Topic, ID: id, HasID: true, From: a.From, Binary: a.Binary}, a.Data)
	got, wake, err := m.log.Append(done, &a)
	if err == nil && loss {
		m.shift, m.steps = m.shift+1, m.steps+1
	} else if err == nil {
		m.real, m.steps = x.public, 0
	}
	m.settle()
	if err != nil {
		if err != context.Canceled {
			m.failf("append: %v", err)
		}
		if oldest := m.inLog(); oldest == nil || m.passed(oldest) && m.passed(m.segmentEnd()) {
			m.failf("append has to wait, though all of the oldest segment is passed")
		}
		return false
	}
	if got != pos {
		m.failf("appended at %v, want %v", got, pos)
	}
	want := uint64(0)
	for i, f := range m.followers {
		if f != nil && f.asleep && (loss || m.wild[i] > 0 || m.subs[i][topic] > 0) {
			f.asleep, f.resume, f.passed = false, m.head.Seq, m.head.Seq
			want |= 1 << i
		}
	}
	if wake.Shards != want {
		m.failf("append to %s wakes %b, want %b", topic, wake, want)
	}
	m.all = append(m.all, x)
	m.head = pos
	if !loss {
		m.logged[topic]++
	}
	if i := slices.Index(m.tails, topic); i >= 0 && !loss {
		m.tails = append(slices.Delete(m.tails, i, i+1), topic)
		m.trim(topic)
	}
	return true
}

// inLog is the oldest message in the log, or nil.
func (m *model) inLog() *message {
	if m.evicted == len(m.all) {
		return nil
	}
	return m.all[m.evicted]
}

// segmentEnd is the last message of the oldest segment.
func (m *model) segmentEnd() *message {
	s := (*m.log.segs.Load())[0]
	last := s.recs[s.n.Load()-1].seq
	return m.all[slices.IndexFunc(m.all, func(x *message) bool { return x.pos.Seq == last })]
}

func (m *model) passed(x *message) bool {
	return !slices.ContainsFunc(m.followers[:], func(f *modelFollower) bool {
		return f != nil && !f.asleep && f.passed < x.pos.Seq
	})
}

// settle moves what the log has evicted to where it belongs.
func (m *model) settle() {
	for ; m.evicted < len(m.all) && m.all[m.evicted].pos.Seq <= m.log.floor.Seq; m.evicted++ {
		x := m.all[m.evicted]
		if !m.passed(x) {
			m.failf("%v was evicted before a follower had passed it", x)
		}
		x.place = lost
		if x.loss {
			for _, topic := range slices.Clone(m.tails) {
				if pattern.Covers(x.topic, topic) {
					m.drop(topic, len(m.tail[topic]))
				}
			}
			continue
		}
		if m.logged[x.topic]--; m.logged[x.topic] >= m.row(x.topic).Keep {
			continue
		}
		x.place = inTail
		if m.kept += m.cost(x); len(m.tail[x.topic]) == 0 {
			m.tails = append(m.tails, x.topic)
			m.kept += topicCost
		}
		m.tail[x.topic] = append(m.tail[x.topic], x)
		m.trim(x.topic)
		for m.kept > m.size {
			m.drop(m.tails[0], 1)
		}
	}
}

func (m *model) trim(topic string) {
	kept := len(m.tail[topic])
	m.drop(topic, min(kept, kept+m.logged[topic]-m.row(topic).Keep))
}

// drop loses the oldest n kept messages of a topic.
func (m *model) drop(topic string, n int) {
	if n <= 0 {
		return
	}
	for _, x := range m.tail[topic][:n] {
		x.place = lost
		m.kept -= m.cost(x)
	}
	if m.tail[topic] = m.tail[topic][n:]; len(m.tail[topic]) == 0 {
		m.tails = slices.DeleteFunc(m.tails, func(t string) bool { return t == topic })
		m.kept -= topicCost
	}
}

// cost is what a kept message counts.
func (m *model) cost(x *message) int { return cap(append([]byte(nil), x.frame...)) + keptOverhead }

func (m *model) age(in *modelInput) {
	m.now = m.now.Add(time.Duration(in.n(41)) * time.Second)
	if in.byte()&1 != 0 {
		return
	}
	m.log.Expire(m.now)
	m.settle()
	if x := m.inLog(); x != nil && m.passed(m.segmentEnd()) && m.segmentEnd().when.Before(m.now.Add(-m.log.opts.Age)) {
		m.failf("%v is of %v, and in the log at %v", x, x.when.Sub(epoch), m.now.Sub(epoch))
	}
}

// full checks that an entry which is too large is refused and changes nothing.
func (m *model) full(*modelInput) {
	_, wake, err := m.log.Append(done, &Append{Topic: "a.1", Data: bytes.Repeat([]byte("1"), m.log.opts.Bytes/4), When: m.now})
	if !errors.Is(err, ErrTooLarge) || wake.Shards != 0 {
		m.failf("too large: %v, wakes %b", err, wake)
	}
	if m.head.Seq == 0 {
		return
	}
	if _, _, err = m.log.Append(done, &Append{Topic: "a.1", Data: []byte("1"), When: m.now, Pos: m.log.Public(m.head)}); err != ErrOrder {
		m.failf("at the head's place: %v", err)
	}
}

func (m *model) knows(in *modelInput) {
	p, public := m.base, m.base
	if len(m.all) > 0 {
		x := m.all[(in.n(256)*256+in.n(256))%len(m.all)]
		p, public = x.pos, x.public
	}
	if got := m.log.Public(p); got != public {
		m.failf("Public(%v) is %v, want %v", p, got, public)
	}
	switch in.n(4) {
	case 0:
		public.Tag++
	case 1:
		public.Seq += uint64(in.n(8))
	}
	if got, ok := m.log.Resolve(public); ok != m.known(public) || ok && m.log.Public(got) != public && !m.isLossOf(public, got) {
		m.failf("Resolve(%v) is %v, %t; the log is %v to %v", public, got, ok, m.log.floor, m.head)
	}
	if m.log.Head() != m.head {
		m.failf("the head is %v, want %v", m.log.Head(), m.head)
	}
}

// known reports whether a position as clients are told it can be continued from.
func (m *model) known(public Pos) bool {
	if public == m.base {
		return true
	}
	for i, x := range m.all {
		if x.public != public && !(m.log.brokered() && m.isLossOf(public, x.pos)) {
			continue
		}
		if m.log.opts.Tag != 0 || x.place == inLog && i >= m.evicted || i == m.evicted-1 {
			return true
		}
	}
	return m.log.brokered() && m.isLossOf(public, m.base)
}

// isLossOf reports whether a position can be that of a loss that some node met just after the entry at.
func (m *model) isLossOf(public, at Pos) bool {
	of := m.log.Public(at)
	return public.Seq == of.Seq && (public.Tag-of.Tag)*lossStepInverse < maxLossSteps
}

// lossStepInverse undoes the multiplication by lossStep.
var lossStepInverse = func() uint64 {
	x := uint64(lossStep)
	for range 6 { // Newton's iteration doubles the correct bits
		x *= 2 - lossStep*x
	}
	return x
}()
