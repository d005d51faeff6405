//go:build linux

package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/centrifugal/centrifuge"

	"github.com/gohotline/hotline"
)

type hotlinePeer struct {
	httpPeer
	hub *hotline.Hub
}

func newHotline(o options) (peer, error) {
	yes := func(context.Context, *hotline.Conn, string) error { return nil }
	hub := hotline.NewHub(&hotline.HubOptions{
		AuthorizeSubscribe: yes, Compression: o.deflate, Logger: slog.New(slog.DiscardHandler),
		Limits: hotline.Limits{PingInterval: -1}, // the load answers none; so it is with all
	})
	return &hotlinePeer{httpPeer{hub}, hub}, nil
}

func (p *hotlinePeer) publish(topic string, payload []byte) {
	if err := p.hub.Publish(context.Background(), topic, payload); err != nil {
		exit(err)
	}
}

type centrifugePeer struct {
	httpPeer
	node    *centrifuge.Node
	history []centrifuge.PublishOption
}

func newCentrifuge(o options) (peer, error) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "load"}}, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, cb centrifuge.SubscribeCallback) {
			cb(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: o.history}}, nil)
		})
	})
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		Compression: o.deflate, CompressionLevel: 1, UseWriteBufferPool: true,
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1},
	})
	p := &centrifugePeer{httpPeer: httpPeer{handler}, node: node}
	if o.history {
		p.history = []centrifuge.PublishOption{centrifuge.WithHistory(10_000, time.Minute)}
	}
	return p, node.Run()
}

func (p *centrifugePeer) publish(topic string, payload []byte) {
	if _, err := p.node.Publish(topic, payload, p.history...); err != nil {
		exit(err)
	}
}
