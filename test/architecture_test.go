package test

import (
	gobuild "go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const archModule = "github.com/certgate/certgate"

// archCore is the pure library and what each of its packages may import of the
// project. Arrows point one way; a package that is not built yet is passed over.
var archCore = map[string][]string{
	"denial":     {},
	"headers":    {},
	"x509diag":   {},
	"certheader": {"denial", "x509diag"},
	"trust":      {"denial", "x509diag"},
	"identity":   {"denial", "x509diag", "trust"},
	"access":     {"denial", "x509diag", "trust", "identity"},
	"proof":      {"denial", "headers", "x509diag", "trust", "identity"},
	"gate":       {"denial", "headers", "x509diag", "certheader", "trust", "identity", "access", "proof"},
}

// archForeign is what the core may use beside the standard library.
var archForeign = map[string][]string{
	"proof": {"github.com/dunglas/httpsfv"},
	"gate":  {"github.com/dunglas/httpsfv"}, // through proof
}

// TestArchitectureCoreIsPure: the core knows the standard library and itself, and
// nothing of the web framework, the log or the configuration.
func TestArchitectureCoreIsPure(t *testing.T) {
	built := 0
	for name, allowed := range archCore {
		if _, err := os.Stat(filepath.Join("..", "internal", name)); err != nil {
			continue
		}
		built++
		for _, path := range archDeps(t, "./internal/"+name) {
			own, ours := strings.CutPrefix(path, archModule+"/internal/")
			switch {
			case ours && (own == name || slices.Contains(allowed, own)):
			case ours || strings.HasPrefix(path, archModule):
				t.Errorf("internal/%s depends on %s, want at most %v", name, path, allowed)
			case !archAllowsForeign(name, path):
				t.Errorf("internal/%s depends on %s, want the standard library only", name, path)
			}
		}
	}
	if built == 0 {
		t.Error("found no core package: are the paths right?")
	}
}

// TestArchitectureMemoryStaysOutside: remembering needs a cache, which is no part
// of the core; the gate does not know whether it is asked a memory.
func TestArchitectureMemoryStaysOutside(t *testing.T) {
	const cache = "github.com/maypok86/otter/v2"
	if !slices.Contains(archDeps(t, "./internal/remember"), cache) {
		t.Errorf("internal/remember does not depend on %s: is the path right?", cache)
	}
	for name := range archCore {
		if _, err := os.Stat(filepath.Join("..", "internal", name)); err != nil {
			continue
		}
		for _, path := range archDeps(t, "./internal/"+name) {
			if strings.HasPrefix(path, cache) || path == archModule+"/internal/remember" {
				t.Errorf("internal/%s depends on %s, want no memory in the core", name, path)
			}
		}
	}
}

// archDeps is everything a package needs but the standard library, itself
// included.
func archDeps(t *testing.T, pattern string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pattern)
	cmd.Dir = ".."
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", pattern, err, stderr.String())
	}
	return strings.Fields(string(out))
}

func archAllowsForeign(name, path string) bool {
	return slices.ContainsFunc(archForeign[name], func(module string) bool {
		return path == module || strings.HasPrefix(path, module+"/")
	})
}

// archLibrary is below a command because nothing that can be imported from outside
// could be anywhere else. No command is needed for it.
const archLibrary = archModule + "/cmd/certgate/client"

// TestArchitectureCommandsAreLeaves: programs are made of packages and no package
// is made of programs; code that runs in production knows no tests.
func TestArchitectureCommandsAreLeaves(t *testing.T) {
	for _, dir := range archPackages(t) {
		pkg, err := gobuild.ImportDir(dir, 0)
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		for _, path := range pkg.Imports {
			if strings.HasPrefix(path, archModule+"/cmd/") && path != archLibrary && !strings.Contains(filepath.ToSlash(dir), "/cmd/") {
				t.Errorf("%s imports %s: want cmd to import internal, never the other way", dir, path)
			}
			if path == "testing" || strings.HasSuffix(path, "/certtest") || path == archModule+"/test" {
				t.Errorf("%s imports %s outside its tests", dir, path)
			}
		}
	}
}

// TestArchitecturePackagesAreDocumented: every package says in one comment what
// it is, in the form that go doc shows.
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

// archPackages is every directory under internal and cmd that has Go files which
// are not tests.
func archPackages(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, top := range []string{"../internal", "../cmd"} {
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
