package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gohotline/hotline"
)

// watcher publishes an alert when a price has moved by so many percent since the last alert.
type watcher struct {
	url, token, file string
	move             int
	http             *http.Client // nil: the default
}

// state is what outlives the process: how far it has read, and what it has made of that. Both are in one file, which is
// replaced as a whole, so they belong together whenever the process dies.
type state struct {
	Position string
	Cents    map[string]int // of each symbol when the last alert was given, or when first seen
	Missed   int            // prices known to be lost, ever
}

// run goes on where the last run has ended, until ctx is done. An error means that it can't go on now: whoever runs
// it may simply start it again.
func (w *watcher) run(ctx context.Context) error {
	s, err := load(w.file)
	if err != nil {
		return err
	}
	client, err := hotline.Dial(ctx, w.url, &hotline.DialOptions{
		Token:      func(context.Context) (string, error) { return w.token, nil },
		HTTPClient: w.http,
		OnState: func(err error) {
			if err != nil {
				log.Print("watcher: not connected, will try again: ", err)
			} else {
				log.Print("watcher: connected")
			}
		},
	})
	if err != nil {
		return unless(ctx, err)
	}
	defer client.Close()
	sub, err := prices.Subscribe(ctx, client, &hotline.SubscribeOptions{After: s.Position})
	if err != nil {
		return unless(ctx, err)
	}
	// What ctx interrupts is still finished, if the exchange answers soon.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(5*time.Second, cancel) })()

	for msg, err := range sub.Messages(ctx) {
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			if err := w.handle(work, client, s, msg); err != nil {
				return unless(ctx, err)
			}
		}
		// A crash before this is done repeats the price, and with it Once(msg.ID), which stores nothing twice.
		s.Position = sub.Position()
		if err := s.save(w.file); err != nil {
			return err
		}
	}
	return nil
}

// handle does what is to be done for one price.
func (w *watcher) handle(ctx context.Context, client *hotline.Client, s *state, msg hotline.Message) error {
	if msg.Missed > 0 {
		// The exchange has restarted, or we were away for longer than it remembers. Old prices are nothing to compare with.
		log.Printf("watcher: lost at least %d prices before %s", msg.Missed, msg.ID)
		s.Missed += msg.Missed
		clear(s.Cents)
	}
	p, err := prices.Decode(msg)
	if err != nil {
		log.Print("watcher: skipped: ", err) // it would be the same the next time
		return nil
	}
	symbol := prices.Params(msg.Topic)[0]
	was, known := s.Cents[symbol]
	if known && max(p.Cents-was, was-p.Cents)*100 < w.move*was {
		return nil
	}
	s.Cents[symbol] = p.Cents
	if !known {
		return nil
	}
	return alerts.With(symbol).Publish(ctx, client.Once(msg.ID), alert{Was: was, Is: p.Cents})
}

// unless is err, unless the end was asked for.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// load reads the state; there is none before the first run.
func load(file string) (*state, error) {
	s := &state{}
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if s.Cents == nil {
		s.Cents = make(map[string]int)
	}
	return s, nil
}

// save replaces the file: whenever the process or the machine dies, there is the old one or the new one, whole.
func (s *state) save(file string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := os.Create(file + ".tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
