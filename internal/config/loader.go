package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/caarlos0/env/v11"

	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// loader collects the faults of one environment.
type loader struct {
	environ map[string]string
	specs   []variableSpec
	faults  []Fault
	// warnings concern the contents of variables and files.
	warnings []string

	sums     map[string][sha256.Size]byte // SHA-256 of each file, by name
	crlTexts []regularfile.File
}

func newLoader(environ map[string]string) *loader {
	l := &loader{environ: maps.Clone(environ), specs: variableSpecs(), sums: map[string][sha256.Size]byte{}}
	if l.environ == nil { // for a nil map, env reads the environment of the process
		l.environ = map[string]string{}
	}
	l.acceptFormerName("FAST_LANE", "HTTP_FAST_PATH")
	return l
}

// parse parses every variable independently of the others.
func (l *loader) parse() variables {
	filled := maps.Clone(l.environ)
	for _, spec := range l.specs {
		if value, set := filled[spec.Name]; set && value == "" {
			// With an empty value, env would select the default.
			delete(filled, spec.Name)
			l.addEmpty(spec)
		}
	}
	var v variables
	l.addParseErrors(env.ParseWithOptions(&v, env.Options{Environment: filled}))
	if l.isSetEmpty("ADMIN_ADDR") {
		v.AdminAddr = ""
	}
	return v
}

func (l *loader) addEmpty(spec variableSpec) {
	if spec.Name != "ADMIN_ADDR" {
		l.addFault(spec.Name, "found an empty value, want "+spec.want)
	}
}

func (l *loader) isSetEmpty(name string) bool {
	value, set := l.environ[name]
	return set && value == ""
}

// addParseErrors adds a fault for each error of env.
func (l *loader) addParseErrors(err error) {
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return
	}
	for _, err := range all.Errors {
		switch e := err.(type) { //nolint:errorlint // env does not wrap them
		case env.ParseError:
			spec := l.findSpec(func(spec variableSpec) bool { return spec.field == e.Name })
			l.addFault(spec.Name, fmt.Sprintf("found %v, want %s", e.Err, spec.want))
		case env.VarIsNotSetError:
			spec := l.findSpec(func(spec variableSpec) bool { return spec.Name == e.Key })
			if !l.isSetEmpty(spec.Name) { // otherwise parse has added a fault
				l.addMissing(spec)
			}
		default:
			l.addFault("environment", "cannot be parsed")
		}
	}
}

// addMissing adds a fault for a required variable that is not set. The fault mentions a
// variable with a similar name that is set instead.
func (l *loader) addMissing(spec variableSpec) {
	found := "nothing"
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		if meant := closestName(name, l.specs); meant == spec.Name || meant == spec.Name+"_FILE" {
			found = "only " + quote(name)
		}
	}
	l.addFault(spec.Name, "found "+found+", want "+spec.want)
}

func (l *loader) findSpec(match func(variableSpec) bool) variableSpec {
	i := slices.IndexFunc(l.specs, match)
	if i < 0 {
		return variableSpec{}
	}
	return l.specs[i]
}

func (l *loader) addFault(variable, problem string) {
	l.faults = append(l.faults, Fault{Variable: variable, Problem: problem})
}

func (l *loader) hasFault(variable string) bool {
	return slices.ContainsFunc(l.faults, func(f Fault) bool { return f.Variable == variable })
}

// err returns an [*Error] with every fault in the order of the documentation, or nil.
func (l *loader) err() error {
	if len(l.faults) == 0 {
		return nil
	}
	order := map[string]int{}
	for i, spec := range l.specs {
		order[spec.Name] = i
	}
	slices.SortStableFunc(l.faults, func(a, b Fault) int { return order[a.Variable] - order[b.Variable] })
	return &Error{Faults: l.faults}
}
