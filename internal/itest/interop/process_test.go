package interop

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gohotline/hotline/internal/itest/need"
)

// process is a client that is a program. Each line of its standard input is a command, each of its standard output an
// event; words are separated by spaces, and data is x and hexadecimal digits:
//
//	N dial URL PROTOCOLS ORIGIN AUTHORITY DEFLATE    protocols separated by commas; - is none; DEFLATE is 0 or 1
//	N text xDATA…, N binary xDATA…                   more than one: a fragmented message
//	N ping xDATA
//	N close CODE xREASON
//	N abandon                                        the connection is of no interest any more
//
//	N KIND CODE xDATA                                an event
//	0 ready 0 xVERSION                               the first line
//
// N is the number of the connection. The program ends with its input.
type process struct {
	t  *testing.T
	in io.WriteCloser

	mu      sync.Mutex
	reports map[int]func(event) // nil once the process has ended
	last    int
	end     string // why it ended
}

// program is a client of name that a command runs.
func program(name string, lacks map[string]string, command func(*testing.T) *exec.Cmd) *client {
	c := &client{name: name, lacks: lacks}
	c.start = func(t *testing.T) dialer {
		p := &process{t: t, reports: make(map[int]func(event))}
		ready := make(chan event, 1)
		p.reports[0] = func(e event) { ready <- e }
		p.start(command(t))
		select {
		case e := <-ready:
			if e.kind != "ready" {
				t.Fatalf("%s: %v", name, e)
			}
			c.about = e.data
		case <-time.After(patience):
			t.Fatalf("%s does not start", name)
		}
		return p.dial
	}
	return c
}

// start runs the command until t ends.
func (p *process) start(cmd *exec.Cmd) {
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.read(out)
		err := cmd.Wait()
		p.ended(fmt.Sprintf("the client ended: %v: %s", err, complaints.String()))
	}()
	p.t.Cleanup(func() {
		p.in.Close()
		select {
		case <-done:
		case <-time.After(patience):
			cmd.Process.Kill()
			p.t.Error("the client does not end with its input")
		}
		if p.t.Failed() && complaints.Len() > 0 {
			p.t.Logf("standard error of the client:\n%s", complaints.String())
		}
	})
}

func (p *process) read(out io.Reader) {
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		number, e, err := parseEvent(strings.TrimSuffix(line, "\n"))
		if err != nil {
			p.ended(fmt.Sprintf("the client printed %.200q: %v", line, err))
			continue
		}
		p.mu.Lock()
		report := p.reports[number]
		p.mu.Unlock()
		if report != nil {
			report(e)
		}
	}
}

func parseEvent(line string) (number int, e event, err error) {
	words := strings.Split(line, " ")
	if len(words) != 4 || !strings.HasPrefix(words[3], "x") {
		return 0, e, errors.New("not four words")
	}
	number, err1 := strconv.Atoi(words[0])
	code, err2 := strconv.Atoi(words[2])
	data, err3 := hex.DecodeString(words[3][1:])
	return number, event{kind: words[1], code: code, data: string(data)}, errors.Join(err1, err2, err3)
}

// ended tells every connection that there will be no more.
func (p *process) ended(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, report := range p.reports {
		report(event{kind: "ended", data: why})
	}
	p.reports, p.end = nil, why
}

func (p *process) dial(to target, report func(event)) socket {
	p.mu.Lock()
	p.last++
	s := &remote{p: p, number: p.last}
	if p.reports == nil {
		p.mu.Unlock()
		report(event{kind: "ended", data: p.end})
		return nil
	}
	p.reports[s.number] = report
	p.mu.Unlock()
	or := func(word string) string {
		if word == "" {
			return "-"
		}
		return word
	}
	deflate := "0"
	if to.deflate {
		deflate = "1"
	}
	if err := s.command("dial", to.url, or(strings.Join(to.protocols, ",")), or(to.origin), or(to.authority), deflate); err != nil {
		report(event{kind: "ended", data: err.Error()})
		return nil
	}
	return s
}

// remote is a connection of a process.
type remote struct {
	p      *process
	number int
}

func (s *remote) command(words ...string) error {
	_, err := fmt.Fprintf(s.p.in, "%d %s\n", s.number, strings.Join(words, " "))
	return err
}

func inHex(data string) string { return "x" + hex.EncodeToString([]byte(data)) }

func (s *remote) send(binary bool, parts ...string) error {
	words := []string{evText}
	if binary {
		words[0] = evBinary
	}
	for _, p := range parts {
		words = append(words, inHex(p))
	}
	return s.command(words...)
}

func (s *remote) ping(payload string) error { return s.command("ping", inHex(payload)) }

func (s *remote) close(code int, reason string) error {
	return s.command("close", strconv.Itoa(code), inHex(reason))
}

func (s *remote) abandon() { s.command("abandon") }

// systemPython is the Python that Debian's packages are for.
const systemPython = "/usr/bin/python3"

// python is a client on top of a Python library, which comes with a Debian package.
func python(library string, lacks map[string]string) *client {
	return program(library, lacks, func(t *testing.T) *exec.Cmd {
		if out, err := exec.Command(systemPython, "-c", "import "+library).CombinedOutput(); err != nil {
			need.Missing(t, "%s -c 'import %s': %v: %s; install python3-%s", systemPython, library, err, out, library)
		}
		cmd := exec.Command(systemPython, "clients/"+library+"_client.py")
		cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
		return cmd
	})
}

func ofStrings(library string) string {
	return "Text is a str in " + library + ", and can't be bad UTF-8: 1007 was sent by the application."
}

func pythonWebsockets() *client {
	return python("websockets", map[string]string{
		"raw text":    ofStrings("websockets"),
		"shows pings": "websockets answers pings and shows none.",
	})
}

func pythonAiohttp() *client {
	return python("aiohttp", map[string]string{
		"raw text":                      ofStrings("aiohttp"),
		"fragments":                     "aiohttp has no API to send fragments.",
		"shows the answer to its Close": "aiohttp reads no answer to its Close when another task was waiting for messages.",
	})
}

func pythonAutobahn() *client { return python("autobahn", nil) }

func pythonWsproto() *client {
	return python("wsproto", map[string]string{"raw text": ofStrings("wsproto")})
}
