package config

import (
	"cmp"
	"crypto/sha256"
	"strings"

	"github.com/certgate/certgate/internal/config/rules"
	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// textSource is the source of a text: a variable, or the file that the variable with
// the suffix _FILE names.
type textSource struct {
	variable string
	inline   string
	file     fileName
	limit    int64
}

// readText returns the text and the variable that faults in the text refer to. If there
// is no text, it adds a fault and returns false.
func (l *loader) readText(s textSource) (text []byte, variable string, ok bool) {
	fileVariable := s.variable + "_FILE"
	_, hasInline := l.environ[s.variable]
	_, hasFile := l.environ[fileVariable]
	switch {
	case hasInline && hasFile:
		l.addFault(s.variable, "found "+fileVariable+" as well, want only one of the two")
		return nil, "", false
	case !hasInline && !hasFile:
		l.addMissing(l.findSpec(func(spec variableSpec) bool { return spec.Name == s.variable }))
		return nil, "", false
	case l.isSetEmpty(s.variable), l.isSetEmpty(fileVariable): // parse has added a fault
		return nil, "", false
	case hasInline:
		return []byte(s.inline), s.variable, true
	}
	file := l.readFile(s.file, s.limit)
	if file.Err != nil {
		spec := l.findSpec(func(spec variableSpec) bool { return spec.Name == fileVariable })
		l.addFault(fileVariable, readError(file).Error()+", want "+spec.want)
		return nil, "", false
	}
	return file.Text, fileVariable, true
}

// readFile reads a file and records its SHA-256.
func (l *loader) readFile(name fileName, limit int64) regularfile.File {
	content, err := regularfile.Read(string(name), limit)
	if err == nil {
		l.sums[string(name)] = sha256.Sum256(content.Text)
	}
	return regularfile.File{Name: string(name), Text: content.Text, Err: err}
}

func (l *loader) keyring(v variables) *trust.Keyring {
	text, variable, ok := l.readText(textSource{"AUTH_PUBLIC_KEY", v.PublicKey, v.PublicKeyFile, maxKeyFile})
	if !ok {
		return nil
	}
	minimum := int(v.MinRSABits)
	if l.hasFault("AUTH_MIN_RSA_BITS") {
		minimum = minRSABits // do not report short keys in addition
	}
	ring, err := trust.ParseKeyring(text, minimum)
	if err != nil {
		l.addFault(variable, err.Error())
		return nil
	}
	for _, warning := range ring.Warnings() {
		l.warnings = append(l.warnings, variable+": "+warning)
	}
	return ring
}

// crls parses every readable list, so that each fault is reported.
func (l *loader) crls(v variables, ring *trust.Keyring) []*trust.CRL {
	const variable = "AUTH_CRL_FILE"
	var lists []*trust.CRL
	for i, name := range v.CRLFile.list {
		file := l.readFile(fileName(name), maxCRLFile)
		l.crlTexts = append(l.crlTexts, file)
		if file.Err != nil {
			spec := l.findSpec(func(spec variableSpec) bool { return spec.Name == variable })
			l.addFault(variable, crlReadError(file, i, len(v.CRLFile.list)).Error()+", want "+spec.want)
			continue
		}
		if ring == nil { // keyring has added a fault; the list cannot be verified
			continue
		}
		found, err := parseCRLs(name, file.Text, ring)
		if err != nil {
			l.addFault(variable, err.Error())
		}
		lists = append(lists, found...)
	}
	return lists
}

// rules returns the rules in force. They have to fit the keyring, which is nil if it has a
// fault.
func (l *loader) rules(v variables, ring *trust.Keyring) rules.Document {
	text, variable, ok := l.readText(textSource{"ACCESS_RULES", v.AccessRules, v.AccessRulesFile, maxRuleFile})
	if !ok {
		return rules.Document{}
	}
	name := cmp.Or(string(v.AccessRulesFile), variable)
	document, faults := l.parseDocument(variable, regularfile.File{Name: name, Text: text}, v, ring)
	l.faults = append(l.faults, faults...)
	return document
}

// parseDocument parses rules and compares them with the keyring. It returns the zero value
// and the faults of the variable if there are any.
func (l *loader) parseDocument(variable string, file regularfile.File, v variables, ring *trust.Keyring) (rules.Document, []Fault) {
	document, err := parseRules(file.Name, file.Text, identity.Source(v.Identity))
	if l.hasFault("AUTH_IDENTITY") { // do not report names that may be valid with another value
		for _, source := range identity.Sources() {
			if document, err = parseRules(file.Name, file.Text, source); err == nil {
				return document, nil
			}
		}
	}
	if err == nil && ring != nil {
		err = document.CheckAnchors(ring)
	}
	if err == nil {
		return document, nil
	}
	var faults []Fault
	for line := range strings.SplitSeq(err.Error(), "\n") {
		faults = append(faults, Fault{Variable: variable, Problem: line})
	}
	return rules.Document{}, faults
}
