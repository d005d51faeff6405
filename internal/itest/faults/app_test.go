package faults

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gohotline/hotline"
	"github.com/gohotline/hotline/internal/oracle"
)

var (
	eventTopics = []string{"chat.a", "chat.b", "chat.c", "news.x"}
	stateTopics = []string{"price.a", "price.b", "price.c"}
	interests   = []string{"chat.a", "chat.b", "chat.*", "news.>", "*.x", ">"}
	topics      = map[string]hotline.TopicOptions{"price.*": {Delivery: hotline.State}}
)

// patience is how long anything may take once there are no faults any more. It says that something hangs, not that it is slow.
const patience = 3 * time.Minute

// app is an application under faults: a hub, server code that publishes, and clients that publish and subscribe. The oracle
// is told everything but what comes from the witness, which reads the hub's log in its process and tells which messages were
// stored.
type app struct {
	// Static after construction.
	t       *testing.T
	name    string
	o       *oracle.Oracle
	opts    hotline.HubOptions
	hub     *hotline.Hub // that server code publishes at
	clients []*client
	sizes   int
	gone    chan gone
	gentle  bool          // publishers wait for the witness, whom a small log would overtake
	quiet   bool          // nobody publishes during the storm
	storm   chan struct{} // closed when the publishers are to end
	faults  atomic.Int64

	mu       sync.Mutex
	changed  *sync.Cond
	received map[string]bool // by the witness, by data
	hung     bool            // something has not come in all the time that there was
}

// appOptions says what is not as always.
type appOptions struct {
	limits hotline.Limits
	small  bool           // the log forgets
	sizes  int            // of what server code publishes, at most; 0: 400
	broker hotline.Broker // of hub; nil: none
	gone   chan gone      // is told of each connection that ends; nil: nobody is
}

// gone is what OnDisconnect was told, and when.
type gone struct {
	at  time.Time
	err error
}

// newApp starts a hub and its witness. The clients come with connect.
func newApp(t *testing.T, name string, o appOptions) *app {
	t.Helper()
	a := &app{t: t, name: name, o: oracle.New(), storm: make(chan struct{}), received: make(map[string]bool)}
	a.changed = sync.NewCond(&a.mu)
	a.o.Whole, a.o.Witnessed, a.gentle = !o.small, true, o.small
	if a.sizes = o.sizes; a.sizes == 0 {
		a.sizes = 400
	}
	a.o.Hollow = o.broker != nil
	limits := o.limits
	limits.PublishRate = -1
	if limits.WindowBytes == 0 {
		limits.WindowBytes = 16 << 10
	}
	if !o.small {
		limits.LogBytes, limits.LogAge = 256<<20, -1
	}
	a.opts = hotline.HubOptions{
		Limits: limits, Topics: topics, Logger: slog.New(slog.DiscardHandler),
		AuthorizeSubscribe: hotline.Allow(">"), AuthorizePublish: hotline.Allow(">"),
	}
	if a.gone = o.gone; a.gone != nil {
		a.opts.OnDisconnect = func(_ context.Context, _ *hotline.Conn, err error) { a.gone <- gone{time.Now(), err} }
	}
	a.hub = a.newHub(o.broker)
	for _, topic := range eventTopics { // so that the log knows exactly what each of them has lost
		if _, err := a.hub.Subscribe(t.Context(), topic, nil); err != nil {
			t.Fatal(err)
		}
	}
	a.witness()
	return a
}

// newHub makes a hub of this application, which ends with the test.
func (a *app) newHub(broker hotline.Broker) *hotline.Hub {
	opts := a.opts
	opts.Broker = broker
	hub := hotline.NewHub(&opts)
	a.t.Cleanup(func() { hub.Close() })
	return hub
}

// serve serves h at an address of ln until t ends, and returns it.
func serve(t *testing.T, ln net.Listener, h http.Handler) string {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(ln)
	}()
	t.Cleanup(func() {
		srv.Close()
		<-done
	})
	return ln.Addr().String()
}

// listen listens on a port of this machine.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// witness reads the hub's log, in its process.
func (a *app) witness() {
	log := a.o.Sub("witness", ">")
	log.Begin("", 0)
	sub, err := a.hub.Subscribe(a.t.Context(), ">", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	log.OK(a.hub.Position())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m, err := range sub.Messages(context.Background()) {
			if err != nil {
				return // the hub has ended
			}
			if m.ID == "" {
				continue
			}
			if m.Missed > 0 {
				a.o.Fail("the witness has missed %d: nobody knows what was stored", m.Missed)
			}
			log.Message(m.Topic, m.ID, string(m.Data))
			a.change(func() { a.received[string(m.Data)] = true })
		}
	}()
	a.t.Cleanup(func() {
		sub.Close()
		<-done
	})
}

// change changes what somebody may wait for.
func (a *app) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
	a.changed.Broadcast()
}

// await waits until ok, which is called with mu held whenever something has changed, and reports whether it ever was. Once
// something has hung nothing is waited for any more.
func (a *app) await(ok func() bool) bool {
	timer := time.AfterFunc(patience, func() { a.change(func() { a.hung = true }) })
	defer timer.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for !ok() {
		if a.hung {
			return false
		}
		a.changed.Wait()
	}
	return true
}

// publisher is server code that publishes at random until the storm is over.
func (a *app) publisher(rng *rand.Rand) {
	for i := 0; a.pause(rng, 100*time.Millisecond); {
		data := ""
		for range 1 + rng.IntN(10) {
			i++
			data = a.one(fmt.Sprintf("server-%d", i), rng)
		}
		if a.gentle && data != "" {
			a.await(func() bool { return a.received[data] })
		}
	}
}

// pause waits for up to d, and reports whether the storm goes on.
func (a *app) pause(rng *rand.Rand, d time.Duration) bool {
	select {
	case <-time.After(time.Duration(rng.Int64N(int64(d)))):
		return true
	case <-a.storm:
		return false
	}
}

// one publishes one message. It returns the data of an event.
func (a *app) one(name string, rng *rand.Rand) string {
	data := fmt.Sprintf("%q", name+strings.Repeat("x", rng.IntN(a.sizes)))
	if rng.IntN(5) == 0 {
		if err := a.hub.Publish(context.Background(), stateTopics[rng.IntN(len(stateTopics))], []byte(data)); err != nil {
			a.o.Fail("server code: %v", err)
		}
		return ""
	}
	a.publish(eventTopics[rng.IntN(len(eventTopics))], data)
	return data
}

func (a *app) publish(topic, data string) {
	a.o.Attempt(topic, data)
	if err := a.hub.Publish(context.Background(), topic, []byte(data)); err != nil {
		a.o.Fail("server code: %v", err)
		return
	}
	a.o.Acked(data)
}

// run connects everybody, goes through the storm, which ends by itself, and the calm after it, and returns what there was.
func (a *app) run(storm func()) *row {
	a.t.Helper()
	for _, c := range a.clients {
		c.start()
	}
	if !a.await(a.confirmed) {
		a.t.Fatal("the clients can't connect")
	}
	var publishers sync.WaitGroup
	if !a.quiet {
		publishers.Go(func() { a.publisher(random(a.name + " server")) })
		for _, c := range a.clients {
			publishers.Go(func() { c.publisher(random(a.name + c.name)) })
		}
	}
	storm()
	close(a.storm)
	publishers.Wait()
	a.calm()
	for _, c := range a.clients {
		c.end()
	}
	return a.row()
}

// calm waits until everybody has everything: the last message of each topic, and the State.
func (a *app) calm() {
	a.t.Helper()
	if !a.await(a.confirmed) {
		a.o.Fail("not everybody has come back")
	}
	for _, topic := range eventTopics {
		a.publish(topic, lastOf(topic))
	}
	for _, topic := range eventTopics {
		if !a.await(func() bool { return a.waiting(topic) == "" }) {
			a.mu.Lock()
			a.o.Fail("lost: the last message of %s has not come to %s", topic, a.waiting(topic))
			a.mu.Unlock()
		}
	}
	truth := make(map[string]string)
	for m, err := range a.hub.Current(context.Background(), ">") {
		if err != nil {
			a.t.Fatal(err)
		}
		truth[m.Topic] = string(m.Data)
	}
	if !a.await(func() bool { return len(a.wrongState(truth)) == 0 }) {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, f := range a.wrongState(truth) {
			a.o.Fail("State: %s", f)
		}
	}
}

func lastOf(topic string) string { return fmt.Sprintf("%q", "the last of "+topic) }

// waiting says who has not received the last message of a topic, or is not subscribed. It needs mu.
func (a *app) waiting(topic string) string {
	var who []string
	for _, c := range a.clients {
		for _, s := range c.subs {
			if !s.confirmed || topic != "" && hotline.Match(s.topic, topic) && !s.last[topic] {
				who = append(who, c.name+" "+s.topic)
			}
		}
	}
	if topic != "" && !a.received[lastOf(topic)] {
		who = append(who, "the witness")
	}
	return strings.Join(who, ", ")
}

// confirmed reports whether everybody is subscribed. It needs mu.
func (a *app) confirmed() bool { return a.waiting("") == "" }

// wrongState is where clients hold State that is not true. It needs mu.
func (a *app) wrongState(truth map[string]string) (failures []string) {
	for _, c := range a.clients {
		for _, s := range c.subs {
			failures = append(failures, oracle.WrongState(c.name, s.topic, s.values, truth)...)
		}
	}
	return failures
}

// closeSome closes some connections from the server's side. They come back.
func (a *app) closeSome(rng *rand.Rand) {
	for c := range a.hub.Conns() {
		if rng.IntN(2) == 0 {
			a.faults.Add(1)
			c.Close(hotline.CloseReconnect, "come back")
		}
	}
}
