package wire

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// specification reads PROTOCOL.md.
func specification(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The session in the specification is what this package reads and, byte for byte, writes.
func TestSpecifiedSession(t *testing.T) {
	seen := map[string]int{}
	for line := range strings.Lines(specification(t)) {
		side, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !strings.HasPrefix(text, `{"`) {
			continue
		}
		var again []byte
		switch side {
		case ">":
			r, err := DecodeRequest([]byte(text), false)
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			again = AppendRequest(nil, r)
			seen["> "+r.Op]++
		case "<":
			f, err := DecodeServer([]byte(text), false)
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			again = encode(t, f)
			seen["< "+f.Op]++
		default:
			continue
		}
		if string(again) != text {
			t.Errorf("the specification has\n\t%s\nwhich is written as\n\t%s", text, again)
		}
	}
	for _, kind := range []string{"> hello", "> pub", "> sub", "> pong", "< welcome", "< ", "< ok", "< end", "< gap", "< at", "< bye"} {
		if seen[kind] == 0 {
			t.Errorf("the session has no %q", kind)
		}
	}
}

// The specification names every op, code and cause.
func TestSpecifiedWords(t *testing.T) {
	spec := specification(t)
	for _, word := range []string{
		Protocol, AnyVersion,
		OpHello, OpSub, OpUnsub, OpPub, OpPong,
		OpWelcome, OpOK, OpEnd, OpGap, OpAt, OpReset, OpPush, OpSend, OpBye, OpErr, OpPing,
		CodeDenied, CodeInvalid, CodeLimit, CodeTooLarge, CodeUnknown, CodeTimeout, CodeUnavailable, CodeClosing, CodeInternal,
		CauseSlow, CauseAway, CauseRestart, CauseExpired, CauseBroker, CauseDenied,
	} {
		if !strings.Contains(spec, "`"+word+"`") {
			t.Errorf("the specification does not name `%s`", word)
		}
	}
	if !strings.Contains(spec, "at most 1,000 arrays and objects deep") || MaxDepth != 1000 {
		t.Error("the specification states another depth")
	}
}

// The table of close codes in the specification agrees with Final and with closecodes.json.
func TestSpecifiedCloseCodes(t *testing.T) {
	var table []struct {
		Code int
		Name string
	}
	load(t, "closecodes.json", &table)
	names := map[int]string{}
	for _, e := range table {
		names[e.Code] = e.Name
	}
	rows := 0
	for _, row := range regexp.MustCompile(`(?m)^\| (\d{4}[^|]*) \|([^|]*)\|[^|]*\| (yes|no)[^|]*\|$`).FindAllStringSubmatch(specification(t), -1) {
		rows++
		codes := regexp.MustCompile(`\d{4}`).FindAllString(row[1], -1)
		rowNames := strings.Split(strings.TrimSpace(row[2]), ", ")
		for i, text := range codes {
			var code int
			fmt.Sscan(text, &code)
			if Final(code) != (row[3] == "no") {
				t.Errorf("%d: reconnect %s in the specification, Final is %v", code, row[3], Final(code))
			}
			if !strings.Contains(row[1], "–") && (i >= len(rowNames) || rowNames[i] != names[code]) {
				t.Errorf("%d has the name %q in the specification, %q in the table", code, row[2], names[code])
			}
		}
	}
	if rows != 21 {
		t.Errorf("%d rows", rows)
	}
}
