package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/headers"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// loader collects the faults of one environment.
type loader struct {
	environ map[string]string
	known   []described
	faults  []Fault
	// warnings are about the contents of variables and files.
	warnings []string

	sums     map[string][sha256.Size]byte // of the files that were read, by name
	crlTexts []regularfile.File
}

func newLoader(environ map[string]string) *loader {
	l := &loader{environ: maps.Clone(environ), known: describe(), sums: map[string][sha256.Size]byte{}}
	if l.environ == nil { // which the library takes for the process's own
		l.environ = map[string]string{}
	}
	l.acceptFormerName("FAST_LANE", "HTTP_FAST_PATH")
	return l
}

// parse reads every variable for itself.
func (l *loader) parse() variables {
	filled := maps.Clone(l.environ)
	for _, d := range l.known {
		if value, set := filled[d.Name]; set && value == "" {
			// The library would take the default for it.
			delete(filled, d.Name)
			l.empty(d)
		}
	}
	var v variables
	l.collect(env.ParseWithOptions(&v, env.Options{Environment: filled}))
	if l.isSetEmpty("ADMIN_ADDR") {
		v.AdminAddr = ""
	}
	return v
}

func (l *loader) empty(d described) {
	if d.Name != "ADMIN_ADDR" {
		l.add(d.Name, "found an empty value, want "+d.want)
	}
}

func (l *loader) isSetEmpty(name string) bool {
	value, set := l.environ[name]
	return set && value == ""
}

// collect turns the library's errors into faults.
func (l *loader) collect(err error) {
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return
	}
	for _, err := range all.Errors {
		switch e := err.(type) { //nolint:errorlint // the library puts them there bare
		case env.ParseError:
			d := l.find(func(d described) bool { return d.field == e.Name })
			l.add(d.Name, fmt.Sprintf("found %v, want %s", e.Err, d.want))
		case env.VarIsNotSetError:
			d := l.find(func(d described) bool { return d.Name == e.Key })
			if !l.isSetEmpty(d.Name) { // said already
				l.missing(d)
			}
		default:
			l.add("environment", "found something unreadable")
		}
	}
}

// missing blames a variable that is not set, and the one that was set for it.
func (l *loader) missing(d described) {
	found := "nothing"
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		if meant := probable(name, l.known); meant == d.Name || meant == d.Name+"_FILE" {
			found = "only " + quote(name)
		}
	}
	l.add(d.Name, "found "+found+", want "+d.want)
}

func (l *loader) find(match func(described) bool) described {
	i := slices.IndexFunc(l.known, match)
	if i < 0 {
		return described{}
	}
	return l.known[i]
}

func (l *loader) add(variable, problem string) {
	l.faults = append(l.faults, Fault{Variable: variable, Problem: problem})
}

func (l *loader) has(variable string) bool {
	return slices.ContainsFunc(l.faults, func(f Fault) bool { return f.Variable == variable })
}

// source is where a text was given: in the variable, or in the file that the
// variable's twin names.
type source struct {
	variable string
	inline   string
	file     path
	limit    int64
}

// text is the text and the variable to blame for it. Ok is false when there is
// no text, and the fault is noted.
func (l *loader) text(s source) (text []byte, variable string, ok bool) {
	twin := s.variable + "_FILE"
	_, hasInline := l.environ[s.variable]
	_, hasFile := l.environ[twin]
	switch {
	case hasInline && hasFile:
		l.add(s.variable, "found "+twin+" as well, want only one of the two")
		return nil, "", false
	case !hasInline && !hasFile:
		l.missing(l.find(func(d described) bool { return d.Name == s.variable }))
		return nil, "", false
	case l.isSetEmpty(s.variable), l.isSetEmpty(twin): // noted by parse
		return nil, "", false
	case hasInline:
		return []byte(s.inline), s.variable, true
	}
	file := l.read(s.file, s.limit)
	if file.Err != nil {
		d := l.find(func(d described) bool { return d.Name == twin })
		l.add(twin, unreadable(file).Error()+", want "+d.want)
		return nil, "", false
	}
	return file.Text, twin, true
}

// read reads a file and remembers what it held.
func (l *loader) read(name path, limit int64) regularfile.File {
	content, err := regularfile.Read(string(name), limit)
	if err == nil {
		l.sums[string(name)] = sha256.Sum256(content.Text)
	}
	return regularfile.File{Name: string(name), Text: content.Text, Err: err}
}

func (l *loader) keyring(v variables) *trust.Keyring {
	text, variable, ok := l.text(source{"AUTH_PUBLIC_KEY", v.PublicKey, v.PublicKeyFile, maxKeyFile})
	if !ok {
		return nil
	}
	least := int(v.MinRSABits)
	if l.has("AUTH_MIN_RSA_BITS") {
		least = minRSABits // one fault is enough
	}
	ring, err := trust.ParseKeyring(text, least)
	if err != nil {
		l.add(variable, err.Error())
		return nil
	}
	for _, warning := range ring.Warnings() {
		l.warnings = append(l.warnings, variable+": "+warning)
	}
	return ring
}

// crls reads every list that can be read, so that each fault is found.
func (l *loader) crls(v variables, ring *trust.Keyring) []*trust.CRL {
	const variable = "AUTH_CRL_FILE"
	var lists []*trust.CRL
	for i, name := range v.CRLFile.list {
		file := l.read(path(name), maxCRLFile)
		l.crlTexts = append(l.crlTexts, file)
		if file.Err != nil {
			d := l.find(func(d described) bool { return d.Name == variable })
			l.add(variable, unreadableCRL(file, i, len(v.CRLFile.list)).Error()+", want "+d.want)
			continue
		}
		if ring == nil { // noted already, and nobody else can have signed the list
			continue
		}
		found, err := parseCRLs(name, file.Text, ring)
		if err != nil {
			l.add(variable, err.Error())
		}
		lists = append(lists, found...)
	}
	return lists
}

func (l *loader) rules(v variables) rules.Document {
	text, variable, ok := l.text(source{"ACCESS_RULES", v.AccessRules, v.AccessRulesFile, maxRuleFile})
	if !ok {
		return rules.Document{}
	}
	name := variable
	if v.AccessRulesFile != "" {
		name = string(v.AccessRulesFile)
	}
	document, err := parseRules(name, text)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			l.add(variable, line)
		}
		return rules.Document{}
	}
	return document
}

// compare checks what concerns two variables.
func (l *loader) compare(v variables) {
	l.compareAddresses(v)
	l.compareUpstreams(v)
	l.comparePeers(v)
	l.compareHeaders(v)
}

// compareAddresses reports the later of two listeners with one address.
func (l *loader) compareAddresses(v variables) {
	all := listeners(v)
	for i, b := range all {
		for _, a := range all[:i] {
			if l.has(a.variable) || l.has(b.variable) || !a.addr.clashes(b.addr) {
				continue
			}
			l.add(b.variable, fmt.Sprintf("found %s, want another port than %s %s", quote(string(b.addr)), a.variable, quote(string(a.addr))))
		}
	}
}

// comparePeers: who may ask has no default, not even on a loopback address, where
// every user of the machine could.
func (l *loader) comparePeers(v variables) {
	if v.AuthzAddr+v.AuthzGRPCAddr != "" && len(v.AuthzPeers.list) == 0 && !l.has("AUTHZ_PEERS") {
		l.missing(l.find(func(d described) bool { return d.Name == "AUTHZ_PEERS" }))
	}
}

func (l *loader) compareHeaders(v variables) {
	if v.ProxyHeader == "" || l.has("AUTH_PROXY_HEADER") {
		return
	}
	name := quote(string(v.ProxyHeader))
	if len(v.TrustedProxies.list) == 0 && !l.has("TRUSTED_PROXIES") {
		l.add("AUTH_PROXY_HEADER", fmt.Sprintf("found %s without TRUSTED_PROXIES, want the proxies that attach it in TRUSTED_PROXIES", name))
	}
	if headers.Same(string(v.ProxyHeader), string(v.AuthHeader)) && !l.has("AUTH_HEADER") {
		l.add("AUTH_PROXY_HEADER", fmt.Sprintf("found %s, want another header than AUTH_HEADER %s, because a client attaches that one", name, quote(string(v.AuthHeader))))
	}
}

// err is every fault in the order of the documentation, or nil.
func (l *loader) err() error {
	if len(l.faults) == 0 {
		return nil
	}
	order := map[string]int{}
	for i, d := range l.known {
		order[d.Name] = i
	}
	slices.SortStableFunc(l.faults, func(a, b Fault) int { return order[a.Variable] - order[b.Variable] })
	return &Error{Faults: l.faults}
}

// typos warns of variables that look like ours and are not.
func (l *loader) typos() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		if meant := probable(name, l.known); meant != "" {
			list = append(list, fmt.Sprintf("%s is no variable of certgate and has no effect: %s is", quote(name), meant))
		}
	}
	return list
}

// warnings are about values that work and are probably not meant.
func warnings(v variables) []string {
	var list []string
	warn := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if v.AdminAddr != "" && !v.AdminAddr.isLoopback() {
		warn("ADMIN_ADDR: %s can be reached from other machines, and the operator's surface asks nobody who they are", v.AdminAddr)
	}
	if time.Duration(v.ClockSkew) > longSkew {
		warn("AUTH_CLOCK_SKEW: a certificate is taken until %s after it has expired", time.Duration(v.ClockSkew))
	}
	if v.MinRSABits < weakRSABits {
		warn("AUTH_MIN_RSA_BITS: RSA keys of %d bits can be broken; replace them and set %d", v.MinRSABits, weakRSABits)
	}
	for _, p := range v.AuthzPeers.list {
		if isVast(p) {
			warn("AUTHZ_PEERS: %s is larger than any private network", p)
		}
	}
	for _, p := range v.TrustedProxies.list {
		if isVast(p) {
			warn("TRUSTED_PROXIES: %s is larger than any private network", p)
		}
	}
	if len(v.AuthzPeers.list) > 0 && v.AuthzAddr+v.AuthzGRPCAddr == "" {
		warn("AUTHZ_PEERS: has no effect without AUTHZ_ADDR or AUTHZ_GRPC_ADDR")
	}
	if v.CRLStale.ok && len(v.CRLFile.list) == 0 {
		warn("AUTH_CRL_STALE: has no effect without AUTH_CRL_FILE")
	}
	if v.RedisDown.remember && v.RedisURL.server.IsZero() {
		warn("REDIS_DOWN: has no effect without REDIS_URL")
	}
	if v.EchoPath != "" {
		warn("ECHO_PATH: %s and what is below it is answered here and not by the upstream, to any verified client; take it out when certgate doctor has been run", v.EchoPath)
	}
	if v.LogLevel > 0 {
		warn("LOG_LEVEL: above info the lines of allowed and refused requests are not written")
	}
	return list
}
