package test

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certgate/certgate/internal/core/certheader"
)

// pieceLength is how much of a credential in some output is a leak.
const pieceLength = 20

// secrets remembers every credential that was used and every process' output.
type secrets struct {
	mu      sync.Mutex
	texts   map[string]bool
	outputs map[string][]string // by the process that said it
}

func newSecrets() *secrets {
	return &secrets{texts: map[string]bool{}, outputs: map[string][]string{}}
}

// keepPEM remembers what is in the blocks of a PEM text, in every form that a
// header or a variable can carry.
func (s *secrets) keepPEM(text []byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		s.keep(base64.StdEncoding.EncodeToString(block.Bytes))
		if block.Type == "CERTIFICATE" {
			s.keep(certheader.Encode(certheader.Base64PEM, block.Bytes))
			s.keep(certheader.Encode(certheader.PercentPEM, block.Bytes))
		}
	}
}

func (s *secrets) keep(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[text] = true
}

// said remembers what a process has written.
func (s *secrets) said(process, output string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outputs[process] = append(s.outputs[process], output)
}

// boundary is everybody's, and what Python says of a file that has none.
const boundary = "-----BEGIN CERTIFICATE-----"

// leaks names the processes that said a piece of a secret, and where.
func (s *secrets) leaks() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	pieces := map[string]bool{}
	for text := range s.texts {
		for i := range len(text) - pieceLength + 1 {
			pieces[text[i:i+pieceLength]] = true
		}
	}
	var found []string
	for _, process := range slices.Sorted(maps.Keys(s.outputs)) {
		for _, output := range s.outputs[process] {
			output = strings.ReplaceAll(output, boundary, "(boundary)")
			if i := indexOfPiece(output, pieces); i >= 0 {
				before := output[strings.LastIndexByte(output[:i], '\n')+1 : i]
				found = append(found, fmt.Sprintf("%s, behind %.200q", process, before))
			}
		}
	}
	return found
}

func indexOfPiece(output string, pieces map[string]bool) int {
	for i := range len(output) - pieceLength + 1 {
		if pieces[output[i:i+pieceLength]] {
			return i
		}
	}
	return -1
}

// TestLeaksAreFound: the search at the end of the run is worth something.
func TestLeaksAreFound(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	s := newSecrets()
	s.keepPEM(mail.pem)
	clean := `{"level":"info","msg":"request","serial":"4f3a09","detail":"want one header line, found 2"}` + "\n"
	s.said("quiet", clean)
	s.keep("X-SSL-Auth: " + mail.header(certheader.SpacedPEM))
	s.said("complaining", "Invalid PEM encoding; must start with -----BEGIN CERTIFICATE-----\n")
	if leaks := s.leaks(); len(leaks) != 0 {
		t.Fatalf("want no leak, found %q", leaks)
	}
	for _, form := range []certheader.Form{certheader.Base64DER, certheader.Base64PEM, certheader.PercentPEM} {
		header := mail.header(form)
		middle := len(header) / 2
		s.said("talker of "+string(form), clean+"oops "+header[middle:middle+pieceLength]+"\n")
	}
	if leaks := s.leaks(); len(leaks) != 3 || !strings.Contains(leaks[0], `talker of base64, behind "oops "`) {
		t.Errorf("want the three talkers, found %q", leaks)
	}
}
