package filewatch

import "github.com/fsnotify/fsnotify"

// notes are the notifications since the last look, by path. The path "" stands
// for notifications that were lost.
type notes map[string]note

// note is what happened to one path.
type note struct {
	created bool // it became the name of another file
	written bool // that file was written to under this name
}

func (n notes) add(e fsnotify.Event) {
	known, ok := n[e.Name]
	if !ok && len(n) >= maxNoted {
		n.lose()
		return
	}
	if e.Has(fsnotify.Create) { // also of a rename to this name
		known = note{created: true}
	}
	if e.Has(fsnotify.Write) {
		known.written = true
	}
	n[e.Name] = known
}

// lose records that anything may have happened to any path.
func (n notes) lose() { n[""] = note{written: true} }

// of is what happened to a path, and whether anything did.
func (n notes) of(path string) (note, bool) {
	found, ok := n[path]
	if _, lost := n[""]; lost {
		return note{found.created, true}, true
	}
	return found, ok
}
