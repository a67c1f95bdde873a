package harness

import (
	"maps"
	"os"
	"slices"
)

// Env holds the environment variables of a process, except PATH, HOME and TMPDIR.
type Env map[string]string

// With returns a copy in which more variables are set.
func (e Env) With(more Env) Env {
	all := maps.Clone(e)
	if all == nil {
		all = Env{}
	}
	maps.Copy(all, more)
	return all
}

// Without returns a copy in which some variables are not set.
func (e Env) Without(names ...string) Env {
	all := maps.Clone(e)
	for _, name := range names {
		delete(all, name)
	}
	return all
}

// list returns the variables in the form of os/exec.
func (e Env) list() []string {
	all := Env{"PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME"), "TMPDIR": os.TempDir()}.With(e)
	if RaceDetector() {
		all["GORACE"] = "atexit_sleep_ms=0" // the default is one second for each process
	}
	list := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}
