package config

import "fmt"

// acceptFormerName moves the value of a variable's former name to the name that replaced
// it, with a warning. Two different values are a fault, because the loader cannot tell
// which one the operator means.
func (l *loader) acceptFormerName(former, name string) {
	old, set := l.environ[former]
	if !set {
		return
	}
	delete(l.environ, former)
	if value, both := l.environ[name]; both && value != old {
		l.addFault(name, fmt.Sprintf("found %s, and %s in %s, want %s only", quote(value), quote(old), former, name))
		return
	}
	l.environ[name] = old
	l.warnings = append(l.warnings, fmt.Sprintf("%s: the variable is called %s now; the next release ignores %s", former, name, former))
}
