package config

import (
	"reflect"
	"strings"
)

// Setting is one environment variable in the form in which operators may see it. It never
// contains a secret.
type Setting struct {
	Name  string
	Group string // as in [Variable]
	// Value is the value as written, [Hidden] if it may contain a secret, or the default.
	Value   string
	Default bool // whether the variable is not set
}

// Hidden is the displayed value of a variable that is set and may contain a secret.
const Hidden = "set"

// settings returns every variable in the order of the documentation.
func (l *loader) settings(v variables) []Setting {
	values, list := reflect.ValueOf(v), make([]Setting, len(l.specs))
	for i, spec := range l.specs {
		list[i] = Setting{Name: spec.Name, Group: spec.Group, Value: spec.Default, Default: true}
		if text, set := l.environ[spec.Name]; set {
			list[i].Value, list[i].Default = displayed(values.FieldByName(spec.field).Interface(), text), false
		} else if _, inFile := l.environ[spec.Name+"_FILE"]; inFile && spec.Default == "required" {
			list[i].Value = "none"
		}
	}
	return list
}

// displayed returns the part of a value that operators may see. The text of a variable is
// displayed only if its type is listed here, so that a new type is hidden until it is added.
func displayed(value any, text string) string {
	switch v := value.(type) {
	case redisURL:
		return v.server.String()
	case healthPath: // a query may contain a token
		path, _, _ := strings.Cut(text, "?")
		return path
	case address, hostNames, networks, headerName, proxyHeader, upstreams, authorities, serverName, echoPath, fileName, fileNames,
		identitySource, proofMode, crlStalePolicy, redisDown, boolean, assertionName, assertionBind, logLevel, logFormat, logFailure, traceEndpoint,
		delay, timeout, clockSkew, lifetime, rsaBits, countLimit, failureRate, bodySize, credentialSize:
		return text
	default:
		return Hidden
	}
}
