package filewatch_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/filewatch"
)

// mount creates a folder like the kubelet's mount of a ConfigMap or Secret: keys.pem is a
// link into ..data, which is a link to the folder of one generation.
func mount(t *testing.T) (dir string, update func(generation, text string)) {
	t.Helper()
	dir = t.TempDir()
	update = func(generation, text string) {
		t.Helper()
		fresh := filepath.Join(dir, generation)
		must(t, os.Mkdir(fresh, 0o700))
		write(t, filepath.Join(fresh, "keys.pem"), text)
		before, err := os.Readlink(filepath.Join(dir, "..data"))
		must(t, swap(generation, filepath.Join(dir, "..data")))
		if err == nil {
			must(t, os.RemoveAll(filepath.Join(dir, before)))
		}
	}
	update("..2026_01_01", "one")
	must(t, os.Symlink("..data/keys.pem", filepath.Join(dir, "keys.pem")))
	return dir, update
}

func TestKubernetes(t *testing.T) {
	t.Parallel()
	dir, update := mount(t)
	file := filepath.Join(dir, "keys.pem")
	w := start(t, file)
	for _, generation := range []string{"..2026_01_02", "..2026_01_03"} {
		update(generation, generation)
		w.want(file)
	}
}

// TestLinks watches a link to a file in another folder, a link to a Kubernetes mount, and
// a file below a link that a deployment replaces.
func TestLinks(t *testing.T) {
	t.Parallel()
	t.Run("to a file elsewhere", func(t *testing.T) {
		t.Parallel()
		there := filepath.Join(t.TempDir(), "real.pem")
		file := filepath.Join(t.TempDir(), "keys.pem")
		write(t, there, "one")
		must(t, os.Symlink(there, file))
		w := start(t, file)
		write(t, there, "two")
		w.wantText(file, "two")
		elsewhere := filepath.Join(t.TempDir(), "real.pem")
		write(t, elsewhere, "three")
		must(t, swap(elsewhere, file))
		w.want(file)
		write(t, elsewhere, "four")
		w.wantText(file, "four")
	})
	t.Run("to a mount", func(t *testing.T) {
		t.Parallel()
		dir, update := mount(t)
		file := filepath.Join(t.TempDir(), "keys.pem")
		must(t, os.Symlink(filepath.Join(dir, "keys.pem"), file))
		w := start(t, file)
		update("..2026_01_02", "two")
		w.want(file)
		update("..2026_01_03", "three")
		w.want(file)
	})
	t.Run("below a link", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		for _, release := range []string{"1", "2"} {
			must(t, os.MkdirAll(filepath.Join(dir, release, "conf"), 0o700))
			write(t, filepath.Join(dir, release, "conf", "keys.pem"), release)
		}
		must(t, swap("1", filepath.Join(dir, "current")))
		file := filepath.Join(dir, "current", "conf", "keys.pem")
		w := start(t, file)
		must(t, swap("2", filepath.Join(dir, "current")))
		w.want(file)
		write(t, file, "three")
		w.wantText(file, "three")
	})
}

func TestFolders(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	in := func(names ...string) (all []string) {
		for _, name := range names {
			all = append(all, filepath.Join(dir, name))
		}
		return all
	}
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o700))
	must(t, os.MkdirAll(filepath.Join(dir, "c"), 0o700))
	for name, target := range map[string]string{
		"c/down": "../a/b", "c/file": "down/x", "a/absolute": filepath.Join(dir, "c"), "a/loop": "loop", "a/b/up": "../y",
		"a/through": "absolute/down/../z", // which is a/z: .. is b's parent
	} {
		must(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	for name, want := range map[string][]string{
		"a/x":               in("a"),
		"none/x":            in("none"),
		"c/file":            in("c", "c", "a/b"),
		"c/down/x":          in("c", "a/b"),
		"a/absolute/down/x": in("a", "c", "a/b"),
		"a/b/up":            in("a/b", "a"),
		"c/down/up":         in("c", "a/b", "a"),
		"a/through":         in("a", "a", "c", "a"),
		"c/./../a//x":       in("a"),
		"a/loop":            slices.Repeat(in("a"), 41),
	} {
		if got := filewatch.Folders(dir + "/" + name); !slices.Equal(got, want) {
			t.Errorf("%s: folders %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"a/x": "a/x", "c/file": "a/b/x", "a/absolute/down/x": "a/b/x", "a/b/up": "a/y", "a/through": "a/z", "c/./../a//x": "a/x",
	} {
		if path := filewatch.Path(dir + "/" + name); path != filepath.Join(dir, want) {
			t.Errorf("%s: want the path %s, found %s", name, want, path)
		}
	}
}

// TestReplacedFolder replaces the folder itself, which only the poll detects.
func TestReplacedFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "conf")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Mkdir(dir+".new", 0o700))
	file := filepath.Join(dir, "keys.pem")
	write(t, file, "one")
	write(t, filepath.Join(dir+".new", "keys.pem"), "two")
	w := startWith(t, moment, time.Millisecond, file)
	must(t, os.Rename(dir, dir+".old"))
	must(t, os.Rename(dir+".new", dir))
	w.wantText(file, "two") // possibly after a report that the file is missing
}
