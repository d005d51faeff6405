package hotline

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDependencies builds the list of modules of a program that uses the library and nothing else: this is what whoever
// imports it has to trust. It needs no network: all of them are there, or the tests would not have been built.
func TestDependencies(t *testing.T) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"main.go": "package main\n\nimport \"github.com/gohotline/hotline\"\n\nfunc main() { hotline.NewHub(nil) }\n",
		"go.mod": "module program\n\ngo 1.25.0\n\nrequire github.com/gohotline/hotline v0.0.0\n\n" +
			"replace github.com/gohotline/hotline => " + strconv.Quote(root) + "\n",
		"go.sum": string(sums),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := func(args ...string) []string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, &stderr)
		}
		lines := strings.Fields(string(out))
		slices.Sort(lines)
		return slices.Compact(lines)
	}
	own := []string{"github.com/coder/websocket", "github.com/gohotline/hotline", "golang.org/x/sync", "program"}
	if diff := cmp.Diff(own, list("-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")); diff != "" {
		t.Errorf("modules with packages in the program (-want +got):\n%s", diff)
	}
	graph := append([]string{"github.com/google/go-cmp"}, own...) // for our tests
	slices.Sort(graph)
	if diff := cmp.Diff(graph, list("-m", "-f", "{{.Path}}", "all")); diff != "" {
		t.Errorf("modules in the program's graph (-want +got):\n%s", diff)
	}
}
