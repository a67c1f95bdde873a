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

// ParseCRLs parses the contents of the files that AUTH_CRL_FILE names, as [Load] does.
// It returns the lists of all files in the order of the files, or an error with one
// line for each faulty file, which contains the name of the file. Several lists of one
// anchor are combined. Every list must be signed by an anchor of the keyring, so the
// caller parses the lists again after a change of the keyring.
func ParseCRLs(files []regularfile.File, k *trust.Keyring) ([]*trust.CRL, error) {
	var lists []*trust.CRL
	var faults []error
	for i, file := range files {
		if file.Err != nil {
			faults = append(faults, crlReadError(file, i, len(files)))
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

// crlReadError returns the error of a file that cannot be read. It contains the
// position of the file in the list, because a long name is not quoted.
func crlReadError(file regularfile.File, i, n int) error {
	err := readError(file)
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

// fileNames is a list of file names separated by commas. No name contains a comma.
type fileNames struct {
	list []string
}

func (p *fileNames) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.Contains(s, "-----") || strings.ContainsAny(s, "\r\n") { // the content of a file instead of its name
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

// crlStalePolicy selects the treatment of a revocation list past its nextUpdate.
type crlStalePolicy struct {
	use bool // keep using the list
}

func (s *crlStalePolicy) UnmarshalText(text []byte) error {
	switch string(text) {
	case "refuse":
		s.use = false
	case "use":
		s.use = true
	default:
		return errors.New(quote(string(text)))
	}
	return nil
}
