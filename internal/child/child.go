// Package child starts programs that tests and benchmarks speak with in lines, and that end when their standard input does.
package child

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// patience is how long a program may take to end.
const patience = 10 * time.Second

// A Process is a running program. What is written to In it reads; its standard error is ours. It is for one goroutine.
type Process struct {
	In  io.WriteCloser
	out *bufio.Scanner
	cmd *exec.Cmd
}

// Start starts cmd, which has not been started and has no standard streams yet.
func Start(cmd *exec.Cmd) (*Process, error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Process{In: in, out: bufio.NewScanner(out), cmd: cmd}, nil
}

// Self is a command of the running binary itself with env, such as "NAME=value", beside the environment.
func Self(env ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe) //nolint:gosec // the running binary itself
	cmd.Env = append(os.Environ(), env...)
	return cmd, nil
}

// String is the command.
func (p *Process) String() string { return p.cmd.String() }

// Line is the next line that the program prints, without its end; once the program has ended, or printed a line longer
// than 64 KiB, it is an error.
func (p *Process) Line() (string, error) {
	if !p.out.Scan() {
		err := p.out.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return "", fmt.Errorf("%s prints nothing more: %w", p, err)
	}
	return p.out.Text(), nil
}

// Stop closes In, and waits until the program has ended; one that has not after ten seconds is killed. An error says how
// it ended, if not well.
func (p *Process) Stop() error {
	p.In.Close()
	t := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer t.Stop()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}
