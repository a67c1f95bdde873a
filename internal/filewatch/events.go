package filewatch

import "github.com/fsnotify/fsnotify"

// events are the notifications since the previous scan, by path. The path "" stands for
// lost notifications.
type events map[string]event

// event combines the notifications about one path.
type event struct {
	created bool // another file got this path
	written bool // that file was written under this path
}

// add adds a notification.
func (e events) add(n fsnotify.Event) {
	known, ok := e[n.Name]
	if !ok && len(e) >= maxPaths {
		e.addLost()
		return
	}
	if n.Has(fsnotify.Create) { // also sent for a rename to this path
		known = event{created: true}
	}
	if n.Has(fsnotify.Write) {
		known.written = true
	}
	e[n.Name] = known
}

// addLost records that notifications about any path may be lost.
func (e events) addLost() { e[""] = event{written: true} }

// lookup returns the event of a path and whether anything may have happened to it.
func (e events) lookup(path string) (event, bool) {
	found, ok := e[path]
	if _, lost := e[""]; lost {
		return event{found.created, true}, true
	}
	return found, ok
}
