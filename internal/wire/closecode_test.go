package wire

import (
	"strings"
	"testing"
)

// TestCloseCodes holds Final and the constants against the table that the clients in other languages read too.
func TestCloseCodes(t *testing.T) {
	var table []struct {
		Code, From, To int
		Name, Meaning  string
		Final          bool
	}
	load(t, "closecodes.json", &table)
	constants := map[int]string{
		CloseNormal: "normal", CloseGoingAway: "going_away", CloseFrameError: "frame_error", CloseUnsupported: "unsupported",
		CloseNoStatus: "no_status", CloseAbnormal: "abnormal", CloseNotUTF8: "not_utf8", ClosePolicy: "policy",
		CloseTooBig: "too_big", CloseInternalError: "internal_error", CloseRestart: "restart", CloseTryLater: "try_later",
		CloseExpired: "expired", CloseStalled: "stalled", CloseNoPong: "no_pong", CloseLapped: "lapped", CloseMoved: "moved",
		CloseUnauthorized: "unauthorized", CloseVersion: "version", CloseProtocol: "protocol", CloseRemoved: "removed",
	}
	final := map[int]bool{} // every code that the table speaks of
	names := map[string]bool{}
	for _, e := range table {
		if e.Code != 0 {
			e.From, e.To = e.Code, e.Code
		}
		if e.Name == "" || names[e.Name] || e.Meaning == "" || e.From > e.To {
			t.Errorf("%+v", e)
		}
		names[e.Name] = true
		for code := e.From; code <= e.To; code++ {
			if _, ok := final[code]; ok {
				t.Errorf("%d is in the table twice", code)
			}
			final[code] = e.Final
		}
		if name, ok := constants[e.Code]; ok {
			if name != e.Name {
				t.Errorf("%d is %s in the table, %s here", e.Code, e.Name, name)
			}
			delete(constants, e.Code)
		}
	}
	if len(constants) > 0 {
		t.Errorf("not in the table: %v", constants)
	}
	for code := range 6000 {
		want, ok := final[code]
		if got := Final(code); got != want {
			t.Errorf("Final(%d) = %v, want %v", code, got, want)
		}
		if code >= 3000 && code <= 4999 && !ok {
			t.Errorf("%d is not in the table", code)
		}
	}
}

// TestCodesAreWords guards the constants that other packages compare text with.
func TestCodesAreWords(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []string{
		CodeDenied, CodeInvalid, CodeLimit, CodeTooLarge, CodeUnknown, CodeTimeout, CodeUnavailable, CodeClosing, CodeInternal,
	} {
		if seen[c] || c == "" || strings.Trim(c, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("code %q", c)
		}
		seen[c] = true
	}
}
