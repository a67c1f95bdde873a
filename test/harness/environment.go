package harness

import (
	"maps"
	"os"
	"slices"
)

// Env is all that a process gets beside what it needs to run at all.
type Env map[string]string

// With is a copy in which some variables are set.
func (e Env) With(more Env) Env {
	all := maps.Clone(e)
	if all == nil {
		all = Env{}
	}
	maps.Copy(all, more)
	return all
}

// Without is a copy in which some variables are not set.
func (e Env) Without(names ...string) Env {
	all := maps.Clone(e)
	for _, name := range names {
		delete(all, name)
	}
	return all
}

func (e Env) list() []string {
	all := Env{"PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME"), "TMPDIR": os.TempDir()}.With(e)
	if RaceDetector() {
		all["GORACE"] = "atexit_sleep_ms=0" // not a second for each process
	}
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}
