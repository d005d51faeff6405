// Package hostile attacks a hub over its sockets: with handshakes that are none, frames that no WebSocket library would send, cut anywhere, and
// messages that no client would. After each session the hub must live, have closed it with the code that an independent
// reading of RFC 6455, RFC 7692 and PROTOCOL.md gives, and have passed on to others what was validly published and
// nothing else.
package hostile
