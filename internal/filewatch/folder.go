package filewatch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// maxLinks is how many symbolic links the kernel follows, too.
const maxLinks = 40

// follow watches the folders that the files are in now, and no others. The error
// is about the files' own folders: a folder that only holds a symbolic link on the
// path may be unreadable.
func follow(w *fsnotify.Watcher, names []string) error {
	var wanted []string
	var missing []error
	for _, name := range names {
		dirs, _ := resolve(name)
		own := len(dirs) - 1
		for _, dir := range dirs[:own] {
			_ = w.Add(dir)
		}
		missing = append(missing, add(w, dirs[own]))
		wanted = append(wanted, dirs...)
	}
	for _, dir := range w.WatchList() {
		if !slices.Contains(wanted, dir) {
			_ = w.Remove(dir)
		}
	}
	return errors.Join(missing...)
}

func add(w *fsnotify.Watcher, dir string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fmt.Errorf("want a folder, found the file %q", dir)
	}
	return w.Add(dir)
}

// resolve follows every symbolic link of a name. Folders are those in which a
// change can make the name stand for another file: the folder of each link on the
// path, and last the file's own. A file may be a link to a file elsewhere, or be
// below a link that a deployment swaps; Kubernetes does both. The results have no
// links in them, so a folder has one name. Path is the file itself.
func resolve(name string) (dirs []string, path string) {
	done, rest := split(name)
	path = done
	links := 0
	for ; len(rest) > 0; rest = rest[1:] {
		next := filepath.Join(done, rest[0])
		target, err := os.Readlink(next)
		switch {
		case err == nil && links < maxLinks:
			links++
			dirs = append(dirs, done)
			if filepath.IsAbs(target) {
				done = root(target)
			}
			// The element itself goes with the next step.
			rest = slices.Concat(rest[:1], elements(target), rest[1:])
		case len(rest) > 1:
			done = next
		default:
			path = next
		}
	}
	return append(dirs, done), path
}

func split(name string) (first string, rest []string) {
	path, err := filepath.Abs(name)
	if err != nil { // there is no current folder
		path = filepath.Clean(name)
	}
	return root(path), elements(path)
}

func root(path string) string {
	return filepath.VolumeName(path) + string(filepath.Separator)
}

// elements keeps "..", which after a link is another folder than it looks.
func elements(path string) []string {
	path = strings.TrimPrefix(path, filepath.VolumeName(path))
	return slices.DeleteFunc(strings.Split(path, string(filepath.Separator)), func(e string) bool { return e == "" || e == "." })
}
