package interop

import (
	"net/http"
	"os"
	"strings"
)

// goModule says which version of a module the tests are built with.
func goModule(path string) string {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		return "Go"
	}
	_, version, _ := strings.Cut(string(mod), "\t"+path+" v")
	version, _, _ = strings.Cut(version, "\n")
	return strings.TrimSuffix("Go, "+version, " // indirect")
}

// refusal is why a client in Go has no connection.
func refusal(resp *http.Response, err error) event {
	if resp == nil {
		return event{kind: evFailed, data: err.Error()}
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	return event{kind: evRefused, code: resp.StatusCode, data: err.Error()}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
