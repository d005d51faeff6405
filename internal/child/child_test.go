package child

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
)

const echoVar = "CHILD_TEST_ECHO" // how a program that repeats what it reads ends

func TestMain(m *testing.M) {
	how, ok := os.LookupEnv(echoVar)
	if !ok {
		os.Exit(m.Run())
	}
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		fmt.Println(s.Text())
	}
	if how == "badly" {
		os.Exit(3)
	}
}

func TestProcess(t *testing.T) {
	for how, want := range map[string]string{"well": "", "badly": "exit status 3"} {
		cmd, err := Self(echoVar + "=" + how)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"one", "", "two words"} {
			fmt.Fprintln(p.In, line)
			if got, err := p.Line(); got != line || err != nil {
				t.Errorf("%q, %v, want %q", got, err, line)
			}
		}
		fmt.Fprintln(p.In, strings.Repeat("x", bufio.MaxScanTokenSize))
		if got, err := p.Line(); err == nil {
			t.Errorf("a line of %d bytes", len(got))
		}
		if err := p.Stop(); err == nil != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("it ended %s: %v", how, err)
		}
		if line, err := p.Line(); err == nil {
			t.Errorf("it has ended, and prints %q", line)
		}
	}
}
