package filewatch_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/certgate/certgate/internal/filewatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout ends a test that hangs. It is less than noPoll, so that changes are detected
// by notification within it.
const (
	testTimeout = 30 * time.Second
	noPoll      = time.Hour
)

// moment is a short quiet period for tests of the final result.
const moment = time.Millisecond

// watcher is a call of Files in the background.
type watcher struct {
	t       *testing.T
	results chan filewatch.Result
	rescan  chan struct{}
}

// start watches files with known contents. It discards reports about files that are
// missing at the start.
func start(t *testing.T, names ...string) watcher {
	t.Helper()
	return startWith(t, moment, noPoll, names...)
}

func startWith(t *testing.T, quiet, poll time.Duration, names ...string) watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := watcher{t, make(chan filewatch.Result), make(chan struct{})}
	known := map[string]filewatch.Sum{}
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil {
			known[name] = sha256.Sum256(text)
		}
	}
	done := make(chan error, 1)
	go func() {
		done <- filewatch.FilesWith(ctx, filewatch.Options{Names: names, Known: known, Rescan: w.rescan, Report: func(l filewatch.Result) {
			select {
			case w.results <- l:
			case <-ctx.Done():
			}
		}}, quiet, poll)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("want nil when the context is done, found %v", err)
			}
		case <-time.After(testTimeout):
			t.Error("the watch does not end")
		}
	})
	// The report shows that the watch has started.
	w.requestScan()
	for {
		l := w.next()
		if len(l.Changed) > 0 && len(known) == len(names) {
			t.Errorf("want the known contents not reported, found %v", l.Changed)
		}
		if l.Requested {
			return w
		}
	}
}

// requestScan requests a scan.
func (w watcher) requestScan() {
	w.t.Helper()
	select {
	case w.rescan <- struct{}{}:
	case <-time.After(testTimeout):
		w.t.Fatal("want the request accepted")
	}
}

// next waits for the next report.
func (w watcher) next() filewatch.Result {
	w.t.Helper()
	select {
	case l := <-w.results:
		return l
	case <-time.After(testTimeout):
		w.t.Fatal("no report")
		return filewatch.Result{}
	}
}

// want waits for the next report and compares the names of the changed files.
func (w watcher) want(names ...string) filewatch.Result {
	w.t.Helper()
	l := w.next()
	if diff := cmp.Diff(names, changed(l)); diff != "" {
		w.t.Errorf("changed (-want +got):\n%s", diff)
	}
	return l
}

// wantText waits until a file is reported with a content. Incomplete contents may be
// reported before, because the quiet period of the tests is short.
func (w watcher) wantText(name, text string) {
	w.t.Helper()
	for {
		for _, f := range w.want(name).Changed {
			if f.Err == nil && string(f.Text) == text {
				return
			}
		}
	}
}

func changed(l filewatch.Result) (names []string) {
	for _, f := range l.Changed {
		names = append(names, f.Name)
	}
	return names
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// swap replaces the link name in one step, as the kubelet and deployment tools do.
func swap(target, name string) error {
	return errors.Join(os.Symlink(target, name+".tmp"), os.Rename(name+".tmp", name))
}

// patch overwrites the beginning of a file without truncating it.
func patch(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func TestChanges(t *testing.T) {
	tests := []struct {
		name   string
		change func(dir, file string) error
	}{
		{"written in place", func(_, file string) error { return os.WriteFile(file, []byte("two"), 0) }},
		{"written in part", func(_, file string) error { return patch(file, "tw") }},
		{"emptied", func(_, file string) error { return os.Truncate(file, 0) }},
		{"renamed over", func(dir, file string) error {
			fresh := filepath.Join(dir, "new")
			return errors.Join(os.WriteFile(fresh, []byte("two"), 0o600), os.Rename(fresh, file))
		}},
		{"renamed over from elsewhere", func(dir, file string) error {
			sub := filepath.Join(dir, "sub")
			fresh := filepath.Join(sub, "new")
			return errors.Join(os.Mkdir(sub, 0o700), os.WriteFile(fresh, []byte("two"), 0o600), os.Rename(fresh, file))
		}},
		{"deleted", func(_, file string) error { return os.Remove(file) }},
		{"renamed away", func(_, file string) error { return os.Rename(file, file+".old") }},
		{"replaced by a link", func(dir, file string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "new"), []byte("two"), 0o600), swap("new", file))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "keys.pem")
			write(t, file, "one")
			w := start(t, file)
			must(t, tt.change(dir, file))
			w.want(file)
			// The watch continues.
			_ = os.Remove(file)
			write(t, file, "three")
			w.wantText(file, "three")
		})
	}
}

// TestRecreated checks that the removal and the creation of a file are separate changes.
func TestRecreated(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.pem")
	write(t, file, "one")
	w := start(t, file)
	must(t, os.Remove(file))
	if l := w.want(file); !errors.Is(l.Changed[0].Err, fs.ErrNotExist) {
		t.Errorf("want the file missing, found %v", l.Changed[0].Err)
	}
	write(t, file, "one")
	w.wantText(file, "one")
}

// TestMissingFile checks that a file may be created after the start.
func TestMissingFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.pem")
	w := start(t, file)
	write(t, file, "one")
	w.wantText(file, "one")
}

// TestMissingFolder checks that a missing folder at the start is an error.
func TestMissingFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	must(t, os.Symlink(filepath.Join(dir, "nowhere", "keys.pem"), filepath.Join(dir, "dangling")))
	for _, name := range []string{"nowhere/keys.pem", "file/keys.pem", "dangling"} {
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		err := filewatch.Files(ctx, filewatch.Options{
			Names:  []string{filepath.Join(dir, "file"), filepath.Join(dir, name)},
			Report: func(filewatch.Result) { t.Errorf("%s: called", name) },
		})
		if err == nil {
			t.Errorf("%s: want an error, found none", name)
		}
	}
}

// TestSameContent checks that changes that keep the content are not reported. The report
// of the second file shows that a scan has taken place.
func TestSameContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, other := filepath.Join(dir, "keys.pem"), filepath.Join(dir, "rules.yaml")
	write(t, file, "one")
	write(t, other, "0")
	w := start(t, file, other)
	same := []func(){
		func() { must(t, patch(file, "one")) },
		func() { must(t, os.Chmod(file, 0o644)) },
		func() { must(t, os.Chtimes(file, time.Unix(0, 0), time.Unix(0, 0))) },
		func() { write(t, file+".new", "one"); must(t, os.Rename(file+".new", file)) },
		func() { write(t, filepath.Join(dir, "unrelated"), "x") },
	}
	for i, change := range same {
		change()
		text := string(rune('1' + i))
		write(t, other, text)
		w.wantText(other, text)
	}
}

func TestSeveralFiles(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	keys, rules, list := filepath.Join(dir, "keys.pem"), filepath.Join(dir, "rules.yaml"), filepath.Join(elsewhere, "ca.crl")
	for _, file := range []string{keys, rules, list} {
		write(t, file, "one")
	}
	w := start(t, keys, rules, list)
	write(t, rules, "two")
	w.wantText(rules, "two")
	write(t, list, "two")
	w.wantText(list, "two")
	// A single step changes both, so that no scan takes place in between.
	must(t, os.Rename(dir, filepath.Join(elsewhere, "away")))
	w.want(keys, rules)
}

// TestNoFiles checks that without files there is no report and no error.
func TestNoFiles(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := filewatch.Files(ctx, filewatch.Options{Report: func(filewatch.Result) { t.Error("called") }}); err != nil {
		t.Error(err)
	}
}

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
		if diff := cmp.Diff(want, filewatch.Folders(dir+"/"+name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
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

// TestRelativeName checks that names are relative to the working directory.
func TestRelativeName(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "keys.pem", "one")
	w := start(t, "keys.pem")
	write(t, "keys.pem", "two")
	w.wantText("keys.pem", "two")
}

// TestPoll changes a file without a notification: through a second hard link, in a folder
// that is not watched.
func TestPoll(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	file, twin := filepath.Join(dir, "keys.pem"), filepath.Join(elsewhere, "twin")
	write(t, file, "one")
	must(t, os.Link(file, twin))
	w := startWith(t, moment, time.Millisecond, file)
	write(t, twin, "two")
	w.wantText(file, "two")
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
