package hotline

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden list of the exported API")

// TestAPI compares the exported API with a list, so that each growth is a reviewed diff.
func TestAPI(t *testing.T) {
	var list []string
	for _, file := range parseRoot(t) {
		for _, d := range file.Decls {
			list = append(list, exported(t, d)...)
		}
	}
	slices.Sort(list)
	got := strings.Join(list, "\n") + "\n"
	const golden = "testdata/api.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the exported API has changed; if that is meant, run go test -run TestAPI -update (-want +got):\n%s", diff)
	}
}

// exported lists what a declaration exports, and finds what has no comment.
func exported(t *testing.T, d ast.Decl) (list []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if !d.Name.IsExported() || d.Recv != nil && !ast.IsExported(receiver(d.Recv.List[0].Type)) {
			return nil
		}
		if d.Doc == nil {
			t.Errorf("%s has no comment", d.Name)
		}
		f := *d
		f.Doc, f.Body = nil, nil
		list = append(list, astText(&f))
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					if d.Doc == nil && s.Doc == nil {
						t.Errorf("%s has no comment", s.Name)
					}
					list = append(list, "type "+s.Name.Name)
					list = append(list, members(s)...)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() {
						list = append(list, d.Tok.String()+" "+n.Name)
					}
				}
			}
		}
	}
	return list
}

// members lists exported fields and methods of interfaces.
func members(s *ast.TypeSpec) (list []string) {
	var fields *ast.FieldList
	switch u := s.Type.(type) {
	case *ast.StructType:
		fields = u.Fields
	case *ast.InterfaceType:
		fields = u.Methods
	default:
		return nil
	}
	for _, f := range fields.List {
		for _, n := range f.Names {
			if n.IsExported() {
				list = append(list, fmt.Sprintf("%s.%s %s", s.Name, n, astText(f.Type)))
			}
		}
	}
	return list
}

func receiver(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

func astText(n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), n); err != nil {
		return err.Error()
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func parseRoot(t *testing.T) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// TestImports: the library is made of the standard library, coder/websocket and x/sync, and of itself.
func TestImports(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "itest" || d.Name() == "bench" || d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			first, _, _ := strings.Cut(p, "/")
			own := strings.HasPrefix(p, "github.com/gohotline/hotline")
			if strings.Contains(first, ".") && !own && p != "github.com/coder/websocket" && !strings.HasPrefix(p, "golang.org/x/sync/") {
				t.Errorf("%s imports %s", path, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
