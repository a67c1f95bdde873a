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

// maxLinks is the maximum number of symbolic links in a path, as in the kernel.
const maxLinks = 40

// watchFolders watches exactly the folders in which the files are at the moment. It
// returns an error if the folder of a file cannot be watched. It ignores errors for folders
// that contain only symbolic links on the path.
func watchFolders(w *fsnotify.Watcher, names []string) error {
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

// add watches a folder.
func add(w *fsnotify.Watcher, dir string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fmt.Errorf("want a folder, found the file %q", dir)
	}
	return w.Add(dir)
}

// resolve follows every symbolic link of a name. It returns the path of the file, and the
// folders in which a change can make the name refer to another file: the folder of each
// link on the path, and the folder of the file as the last one. A file may be a link to
// another folder, or be below a link that a deployment replaces; Kubernetes uses both. The
// results contain no links, so that each folder has a single path.
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
			// The loop removes the first element, which is the link.
			rest = slices.Concat(rest[:1], elements(target), rest[1:])
		case len(rest) > 1:
			done = next
		default:
			path = next
		}
	}
	return append(dirs, done), path
}

// split returns the root of the absolute path of a name, and the elements of the path.
func split(name string) (first string, rest []string) {
	path, err := filepath.Abs(name)
	if err != nil { // the working directory does not exist
		path = filepath.Clean(name)
	}
	return root(path), elements(path)
}

// root returns the root folder of an absolute path.
func root(path string) string {
	return filepath.VolumeName(path) + string(filepath.Separator)
}

// elements returns the elements of a path. It keeps "..", because the parent of a link's
// target is not the folder of the link.
func elements(path string) []string {
	path = strings.TrimPrefix(path, filepath.VolumeName(path))
	return slices.DeleteFunc(strings.Split(path, string(filepath.Separator)), func(e string) bool { return e == "" || e == "." })
}
