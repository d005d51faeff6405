package wire

// Close codes of RFC 6455 §7.4.1 and the IANA registry that the protocol gives a meaning.
const (
	CloseNormal        = 1000
	CloseGoingAway     = 1001
	CloseFrameError    = 1002 // no WebSocket frame: the RFC's "protocol error"
	CloseUnsupported   = 1003
	CloseNoStatus      = 1005 // never sent: a Close frame without a code
	CloseAbnormal      = 1006 // never sent: no Close frame
	CloseNotUTF8       = 1007
	ClosePolicy        = 1008
	CloseTooBig        = 1009
	CloseInternalError = 1011
	CloseRestart       = 1012
	CloseTryLater      = 1013
)

// Close codes of hotline.v1.
const (
	CloseExpired      = 3000 // the identity has expired: come back with a new token
	CloseStalled      = 3001 // no write made progress within the write timeout
	CloseNoPong       = 3002 // nothing was received for ping + grace
	CloseLapped       = 3003 // a plain connection lost messages, and can't be told otherwise
	CloseMoved        = 3004 // come back: another node takes this connection
	CloseUnauthorized = 3500 // Authenticate refused the token
	CloseVersion      = 3501 // the hub speaks no version that the client offered
	CloseProtocol     = 3502 // what was sent is not hotline.v1
	CloseRemoved      = 3503 // removed by the application
)

// Final reports whether a client that was closed by the hub with code must not connect again by itself. It is true of
// CloseUnauthorized, with an exception that the code does not show: if the token that was refused had not been fetched
// for this attempt, the client fetches one and tries once more.
func Final(code int) bool {
	switch code {
	case CloseNormal, CloseFrameError, CloseUnsupported, CloseNotUTF8, ClosePolicy, CloseTooBig:
		return true
	}
	return code >= 3500 && code <= 3999 || code >= 4500 && code <= 4999
}
