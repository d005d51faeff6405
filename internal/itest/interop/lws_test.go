package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gohotline/hotline/internal/itest/need"
)

const (
	lwsCodes = "libwebsockets makes 1002 of 1012 and 1013, which are younger than RFC 6455: the client knows them from `bye` alone."
	// Seen with other servers too: npm ws leaves short messages uncompressed.
	lwsDeflate = "Once compression is agreed on, libwebsockets 4.1 hands out a message that came uncompressed again and again " +
		"(warmcat/libwebsockets#2794); some of the hub's do, as RFC 7692 allows."
)

func libwebsockets() *client {
	return program("libwebsockets", map[string]string{
		"close 1012":                    lwsCodes,
		"close 1013":                    lwsCodes,
		"deflate":                       lwsDeflate,
		"shows pings":                   "libwebsockets answers pings and shows none.",
		"shows the answer to its Close": "libwebsockets waits for the answer to its Close and does not show it.",
	}, func(t *testing.T) *exec.Cmd {
		if _, err := os.Stat("/usr/include/libwebsockets.h"); err != nil {
			need.Missing(t, "%v; install libwebsockets-dev", err)
		}
		if _, err := exec.LookPath("gcc"); err != nil {
			need.Missing(t, "%v; install gcc", err)
		}
		program := filepath.Join(t.TempDir(), "lws_client")
		out, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-o", program,
			"clients/lws_client.c", "-lwebsockets", "-lpthread").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return exec.Command(program)
	})
}
