package hotline

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDesignNamesTests: each test that a document names as the proof of something is there.
func TestDesignNamesTests(t *testing.T) {
	declared := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(text, -1) {
			declared[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	for _, doc := range []string{"DESIGN.md", "SECURITY.md", "README.md", "CONTRIBUTING.md", "PROTOCOL.md"} {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		list := named.FindAllSubmatch(text, -1)
		for _, m := range list {
			if !declared[string(m[1])] {
				t.Errorf("%s names %s, which is not there", doc, m[1])
			}
		}
		if doc == "DESIGN.md" && len(list) < 50 {
			t.Errorf("%s names %d tests", doc, len(list))
		}
	}
	// Tests in JavaScript are named by their text and their file.
	js := regexp.MustCompile("\"([^\"]+)\"(?: and \"([^\"]+)\")? in `([\\w/]+\\.test\\.mjs)`")
	text, err := os.ReadFile("DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	list := js.FindAllSubmatch(text, -1)
	for _, m := range list {
		code, err := os.ReadFile(string(m[3]))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range m[1:3] {
			if len(name) > 0 && !regexp.MustCompile(`test\(["']`+regexp.QuoteMeta(string(name))+`["']`).Match(code) {
				t.Errorf("%s has no test %q", m[3], name)
			}
		}
	}
	if len(list) < 6 {
		t.Errorf("DESIGN.md names %d files of JavaScript's tests", len(list))
	}
	// Every promise has a test.
	for _, p := range []string{"TestP1", "TestP2", "TestP3", "TestP4", "TestP5", "TestP6", "TestP7", "TestP8"} {
		found := false
		for name := range declared {
			found = found || strings.HasPrefix(name, p)
		}
		if !found {
			t.Errorf("there is no %s…", p)
		}
	}
}
