package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/certgate/certgate/internal/core/trust"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// maxCRLFile is the largest file of revocation lists, in bytes: about 400,000
// revoked certificates.
const maxCRLFile = regularfile.MaxBytes

// ParseCRLs reads the contents of the files that AUTH_CRL_FILE names, as [Load]
// does. It takes all files or none: the error has one line for each file with a
// fault, which it names. The lists are in the order of the files, and several of
// one anchor all count. Every list must be signed by an anchor of the keyring, so
// lists and keyring are to be read together when either changes.
func ParseCRLs(files []regularfile.File, k *trust.Keyring) ([]*trust.CRL, error) {
	var lists []*trust.CRL
	var faults []error
	for i, file := range files {
		if file.Err != nil {
			faults = append(faults, unreadableCRL(file, i, len(files)))
			continue
		}
		found, err := parseCRLs(file.Name, file.Text, k)
		if err != nil {
			faults = append(faults, err)
		}
		lists = append(lists, found...)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return lists, nil
}

// unreadableCRL says which file it is by its number too, since a long name is not
// quoted.
func unreadableCRL(file regularfile.File, i, n int) error {
	err := unreadable(file)
	if n > 1 {
		return fmt.Errorf("%w (file %d of %d)", err, i+1, n)
	}
	return err
}

func parseCRLs(file string, text []byte, k *trust.Keyring) ([]*trust.CRL, error) {
	lists, err := trust.ParseCRLs(text, k)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return lists, nil
}

// paths are names of files. No name has a comma.
type paths struct {
	list []string
}

func (p *paths) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.Contains(s, "-----") || strings.ContainsAny(s, "\r\n") { // the list itself, or a key
		return errors.New(quote(s))
	}
	var list []string
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			return errors.New(quote(item))
		}
		list = append(list, item)
	}
	p.list = list
	return nil
}

// stale is what is done with a revocation list past its nextUpdate.
type stale struct {
	ok bool // the list is used
}

func (s *stale) UnmarshalText(text []byte) error {
	switch string(text) {
	case "refuse":
		s.ok = false
	case "use":
		s.ok = true
	default:
		return errors.New(quote(string(text)))
	}
	return nil
}
