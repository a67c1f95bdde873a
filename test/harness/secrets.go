package harness

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/certgate/certgate/internal/core/certheader"
)

// pieceLength is the number of characters of a credential whose appearance in an output is
// a leak.
const pieceLength = 20

// secrets holds the credentials that the tests use and the output of all processes.
type secrets struct {
	mu      sync.Mutex
	texts   map[string]bool
	outputs map[string][]string // by process
}

func newSecrets() *secrets {
	return &secrets{texts: map[string]bool{}, outputs: map[string][]string{}}
}

// keepPEM registers the blocks of a PEM text, in every form that a header or a variable can
// carry.
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

// recordOutput stores the output of a process.
func (s *secrets) recordOutput(process, output string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outputs[process] = append(s.outputs[process], output)
}

// KeepPEM registers every block of a PEM text as a secret of this run, in every form
// that a header or a variable can carry.
func KeepPEM(text []byte) { shared.secrets.keepPEM(text) }

// KeepSecret registers a text as a secret of this run.
func KeepSecret(text string) { shared.secrets.keep(text) }

// RecordOutput registers the output of a process, to be searched for secrets when the
// tests have run.
func RecordOutput(process, output string) { shared.secrets.recordOutput(process, output) }

// boundary is the first line of a PEM certificate. It is not secret: Python prints it in the
// error for a file without a certificate.
const boundary = "-----BEGIN CERTIFICATE-----"

// leaks returns the processes whose output contains a part of a secret, with the text
// before it.
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
