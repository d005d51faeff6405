// Package interop lets WebSocket clients that others wrote speak hotline.v1 with a hub, and checks what comes of it.
//
// A client is told what to do, a frame at a time, and reports what it sees; it knows nothing of hotline. Those in Go are
// called, the others are programs in the folder clients that read commands and print events. The tests are the one judge
// of all of them, with a tap between client and hub that shows what was really sent. With HOTLINE_TABLE=1 they write what they
// found into ../interop.md.
package interop
