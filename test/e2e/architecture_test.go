package e2e

import (
	"go/ast"
	gobuild "go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/test/harness"
)

const archModule = "github.com/certgate/certgate"

// archRule states which packages of the project the packages below a folder may import.
type archRule struct {
	folder  string   // below the module's root
	imports []string // folders; the folder itself is always allowed
}

// archRules has one rule for each folder. The first rule that matches a package applies.
func archRules() []archRule {
	return []archRule{
		{"internal/core", nil},
		{"internal/http1", nil},
		{"internal/guard", []string{"internal/core"}},
		{"internal/proxy", []string{"internal/core", "internal/http1", "internal/tracing"}},
		{"internal/audit", []string{"internal/core"}},
		{"internal/tracing", []string{"internal/core", "internal/audit"}},
		{"internal/usage", []string{"internal/core", "internal/audit", "internal/guard"}},
		{"internal/filewatch", nil},
		{"internal/surface", []string{"internal/core", "internal/http1", "internal/guard", "internal/proxy", "internal/audit", "internal/tracing", "internal/usage"}},
		{"internal/config", []string{"internal/core", "internal/guard", "internal/proxy", "internal/filewatch"}},
		{"internal/tool", []string{"internal/core", "internal/filewatch", "internal/surface/echo", "internal/config/rules"}},
		{"internal/gateway", []string{
			"internal/core", "internal/http1", "internal/guard", "internal/proxy", "internal/audit", "internal/tracing", "internal/usage",
			"internal/filewatch", "internal/surface", "internal/config",
		}},
		{"internal/testkit", nil},
	}
}

// TestArchitectureImportsPointOneWay checks the imports of every package below
// internal against [archRules].
func TestArchitectureImportsPointOneWay(t *testing.T) {
	for _, dir := range archPackages(t) {
		own, ok := strings.CutPrefix(filepath.ToSlash(dir), "../../")
		if !ok || !strings.HasPrefix(own, "internal/") {
			continue
		}
		i := slices.IndexFunc(archRules(), func(r archRule) bool { return archIsBelow(own, r.folder) })
		if i < 0 {
			t.Errorf("%s: want a rule for its imports, found none", own)
			continue
		}
		rule := archRules()[i]
		pkg, err := gobuild.ImportDir(dir, 0)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		for _, path := range pkg.Imports {
			imported, ours := strings.CutPrefix(path, archModule+"/")
			if ours && !slices.ContainsFunc(append([]string{rule.folder}, rule.imports...), func(f string) bool { return archIsBelow(imported, f) }) {
				t.Errorf("%s imports %s, want imports from %v only", own, imported, append([]string{rule.folder}, rule.imports...))
			}
		}
	}
}

// archIsBelow reports whether a package is the folder itself or below it.
func archIsBelow(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// archForeign lists the packages outside the standard library that the core uses. Only
// core/identity may import spiffeid; depguard checks that.
func archForeign() []string {
	return []string{"github.com/dunglas/httpsfv", "github.com/spiffe/go-spiffe/v2/spiffeid"}
}

// TestArchitectureCoreIsPure checks that the core depends on the standard library,
// the core itself and [archForeign] only, directly and indirectly.
func TestArchitectureCoreIsPure(t *testing.T) {
	found := 0
	for _, path := range archDeps(t, "./internal/core/...") {
		switch own, ours := strings.CutPrefix(path, archModule+"/"); {
		case ours && archIsBelow(own, "internal/core"):
			found++
		case ours:
			t.Errorf("internal/core depends on %s", path)
		case !slices.ContainsFunc(archForeign(), func(module string) bool { return archIsBelow(path, module) }):
			t.Errorf("internal/core depends on %s, want the standard library and %v only", path, archForeign())
		}
	}
	if found == 0 {
		t.Error("found no core package: is the path right?")
	}
}

// archDeps returns the packages and their dependencies, direct and indirect, without the
// standard library.
func archDeps(t *testing.T, pattern string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pattern)
	cmd.Dir = harness.Root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", pattern, err, stderr.String())
	}
	return strings.Fields(string(out))
}

// TestArchitectureCommandsAreLeaves checks that no package imports a command and that only
// tests import test packages.
func TestArchitectureCommandsAreLeaves(t *testing.T) {
	for _, dir := range archPackages(t) {
		pkg, err := gobuild.ImportDir(dir, 0)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		for _, path := range pkg.Imports {
			if strings.HasPrefix(path, archModule+"/cmd/") && !strings.Contains(filepath.ToSlash(dir), "/cmd/") {
				t.Errorf("%s imports %s: want cmd to import internal, never the other way", dir, path)
			}
			if path == "testing" || archIsBelow(path, archModule+"/internal/testkit") && !strings.Contains(filepath.ToSlash(dir), "internal/testkit") || archIsBelow(path, archModule+"/test") {
				t.Errorf("%s imports %s outside its tests", dir, path)
			}
		}
	}
}

// TestArchitecturePackagesAreDocumented checks that every package has exactly one package
// comment, in the form that go doc shows.
func TestArchitecturePackagesAreDocumented(t *testing.T) {
	for _, dir := range archPackages(t) {
		pkg, err := gobuild.ImportDir(dir, 0)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		want := "Package " + pkg.Name + " "
		if pkg.Name == "main" {
			want = "Command " + filepath.Base(dir) + " "
		}
		docs := archDocs(t, dir, pkg.GoFiles)
		switch {
		case len(docs) != 1:
			t.Errorf("%s: want one package comment, found %d", dir, len(docs))
		case !strings.HasPrefix(docs[0], want):
			t.Errorf("%s: want a package comment that begins with %q", dir, want)
		}
	}
}

func archDocs(t *testing.T, dir string, files []string) []string {
	t.Helper()
	var docs []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if text := file.Doc.Text(); text != "" {
			docs = append(docs, text)
		}
	}
	return docs
}

// archPackages returns the directories below internal and cmd that have Go files other than
// tests.
func archPackages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, top := range []string{"../../internal", "../../cmd"} {
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name := entry.Name()
			dir := filepath.Dir(path)
			if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	if len(dirs) == 0 {
		t.Fatal("found no packages: are the paths right?")
	}
	return dirs
}

// archHeaderUsers are the packages that decide about header fields by their names.
var archHeaderUsers = []string{
	"proxy/ingress", "proxy/forward", "surface/public", "surface/extauth", "surface/problem", "config", "core/httpsig", "core/gate",
}

// TestArchitectureHeaderNamesAreInOnePackage checks that only package headers contains the
// names of fields that the gateway writes, strips or reads for its decisions.
func TestArchitectureHeaderNamesAreInOnePackage(t *testing.T) {
	allowed := []string{"Connection"} // in responses, where net/http interprets it
	for _, name := range archHeaderUsers {
		files, err := filepath.Glob(filepath.Join(harness.Root, "internal", name, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("internal/%s: %v, want its files", name, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if field, ok := n.(*ast.Field); ok && field.Tag != nil { // a default or a meaning, for the operator
					return false
				}
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(literal.Value)
				if err == nil && !slices.Contains(allowed, text) && (headers.KindOf(text) != headers.Forwarded || headers.IsSignature(text)) {
					t.Errorf("%s: found the field name %q, want it from package headers", file, text)
				}
				return true
			})
		}
	}
}
