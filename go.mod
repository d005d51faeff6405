module github.com/gohotline/hotline

go 1.25.0

require (
	github.com/coder/websocket v1.8.15
	github.com/google/go-cmp v0.7.0
	golang.org/x/sync v0.20.0
)
