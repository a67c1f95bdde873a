package denial_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/denial"
)

// statuses is the contract with clients, written down a second time on purpose:
// a changed or forgotten status must be changed here too, by somebody who means
// it.
var statuses = map[denial.Reason]int{
	denial.PathAmbiguous:          http.StatusBadRequest,
	denial.RequestAmbiguous:       http.StatusBadRequest,
	denial.RequestMalformed:       http.StatusBadRequest,
	denial.MethodNotAllowed:       http.StatusMethodNotAllowed,
	denial.ExpectationFailed:      http.StatusExpectationFailed,
	denial.PeerUntrusted:          http.StatusForbidden,
	denial.OriginMissing:          http.StatusForbidden,
	denial.OriginAmbiguous:        http.StatusForbidden,
	denial.CredentialMissing:      http.StatusUnauthorized,
	denial.CredentialMalformed:    http.StatusUnauthorized,
	denial.CredentialDuplicated:   http.StatusUnauthorized,
	denial.CredentialTooLarge:     http.StatusRequestHeaderFieldsTooLarge,
	denial.CredentialPrivateKey:   http.StatusUnauthorized,
	denial.ProxyUntrusted:         http.StatusUnauthorized,
	denial.CertificateUntrusted:   http.StatusForbidden,
	denial.CertificateExpired:     http.StatusForbidden,
	denial.CertificateNotYetValid: http.StatusForbidden,
	denial.CertificateRevoked:     http.StatusForbidden,
	denial.CertificateWeak:        http.StatusForbidden,
	denial.CertificateUnsuitable:  http.StatusForbidden,
	denial.CertificateLifetime:    http.StatusForbidden,
	denial.RevocationUnknown:      http.StatusForbidden,
	denial.LegacySharedKey:        http.StatusForbidden,
	denial.IdentityMissing:        http.StatusForbidden,
	denial.IdentityAmbiguous:      http.StatusForbidden,
	denial.IdentityInvalid:        http.StatusForbidden,
	denial.ProofMissing:           http.StatusUnauthorized,
	denial.ProofMalformed:         http.StatusUnauthorized,
	denial.ProofIncomplete:        http.StatusUnauthorized,
	denial.ProofExpired:           http.StatusUnauthorized,
	denial.ProofInvalid:           http.StatusUnauthorized,
	denial.ProofDigest:            http.StatusUnauthorized,
	denial.ProofReplayed:          http.StatusUnauthorized,
	denial.ProofImpossible:        http.StatusUnauthorized,
	denial.AccessDenied:           http.StatusForbidden,
	denial.BodyTooLarge:           http.StatusRequestEntityTooLarge,
	denial.ClientClosed:           499, // nginx's "client closed request"
	denial.RequestTimeout:         http.StatusRequestTimeout,
	denial.UpstreamFailed:         http.StatusBadGateway,
	denial.UpstreamTimeout:        http.StatusGatewayTimeout,
	denial.RateLimited:            http.StatusTooManyRequests,
	denial.Overloaded:             http.StatusServiceUnavailable,
	denial.Draining:               http.StatusServiceUnavailable,
	denial.Internal:               http.StatusInternalServerError,
}

func TestStatusOfEveryReason(t *testing.T) {
	for _, reason := range denial.Reasons() {
		want, ok := statuses[reason]
		if !ok {
			t.Errorf("%s: want a status in this test's table, found none", reason)
			continue
		}
		if got := reason.Status(); got != want {
			t.Errorf("%s: status %d, want %d", reason, got, want)
		}
	}
	if got, want := len(denial.Reasons()), len(statuses); got != want {
		t.Errorf("%d reasons, want the %d of this test's table", got, want)
	}
}

// TestEveryConstantHasAnAnswer reads the source, because a constant that is
// missing in the package's table is missing in Reasons too.
func TestEveryConstantHasAnAnswer(t *testing.T) {
	declared := declaredReasons(t)
	if len(declared) == 0 {
		t.Fatal("found no constants of type Reason")
	}
	known := denial.Reasons()
	for name, reason := range declared {
		if !slices.Contains(known, reason) {
			t.Errorf("%s (%s): declared but without status and title", name, reason)
		}
	}
	if len(known) != len(declared) {
		t.Errorf("%d answers for %d constants", len(known), len(declared))
	}
}

// declaredReasons is every constant of type Reason in the package's files. Two
// constants with one value fail the test.
func declaredReasons(t *testing.T) map[string]denial.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "denial.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]denial.Reason{}
	owner := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !isReason(spec.Type) {
			return true
		}
		for i, name := range spec.Names {
			value := literal(t, spec, i)
			if first, dup := owner[value]; dup {
				t.Errorf("%s and %s are both %q", first, name.Name, value)
			}
			owner[value] = name.Name
			declared[name.Name] = denial.Reason(value)
		}
		return true
	})
	return declared
}

func isReason(e ast.Expr) bool {
	ident, ok := e.(*ast.Ident)
	return ok && ident.Name == "Reason"
}

func literal(t *testing.T, spec *ast.ValueSpec, i int) string {
	t.Helper()
	if i >= len(spec.Values) {
		t.Fatalf("%s: want a value, found none", spec.Names[i].Name)
	}
	lit, ok := spec.Values[i].(*ast.BasicLit)
	if !ok {
		t.Fatalf("%s: want a string literal", spec.Names[i].Name)
	}
	value, err := strconv.Unquote(lit.Value)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestRefusalsOfTheCallerAre401Or403 keeps nginx's auth_request possible, which
// turns every other status into a 500.
func TestRefusalsOfTheCallerAre401Or403(t *testing.T) {
	prefixes := []string{"peer_", "origin_", "credential_", "proxy_", "certificate_", "revocation_", "legacy_", "identity_", "access_"}
	for _, reason := range denial.Reasons() {
		about := slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(string(reason), p) })
		if !about || reason == denial.CredentialTooLarge {
			continue
		}
		if s := reason.Status(); s != http.StatusUnauthorized && s != http.StatusForbidden {
			t.Errorf("%s: status %d, want 401 or 403", reason, s)
		}
	}
}

func TestUnknownReasonIsOurFault(t *testing.T) {
	for _, reason := range []denial.Reason{"", "no_such_reason", "ACCESS_DENIED"} {
		if got := reason.Status(); got != http.StatusInternalServerError {
			t.Errorf("%q: status %d, want 500", reason, got)
		}
		if got, want := reason.Title(), denial.Internal.Title(); got != want {
			t.Errorf("%q: title %q, want that of Internal", reason, got)
		}
	}
}

func TestReasonsAndTitlesAreFitForClients(t *testing.T) {
	code := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	title := regexp.MustCompile(`^[A-Z][a-zA-Z' ]+[a-z]$`)
	reasons := denial.Reasons()
	if !slices.IsSorted(reasons) {
		t.Errorf("reasons are not in alphabetical order: %v", reasons)
	}
	seen := map[string]denial.Reason{}
	for _, reason := range reasons {
		if !code.MatchString(string(reason)) {
			t.Errorf("%q: want lower snake case", reason)
		}
		if !title.MatchString(reason.Title()) {
			t.Errorf("%s: want one plain sentence without a full stop, found %q", reason, reason.Title())
		}
		if other, dup := seen[reason.Title()]; dup {
			t.Errorf("%s and %s have the same title", reason, other)
		}
		seen[reason.Title()] = reason
	}
}

// TestReasonsCannotBeChanged: the list is the caller's own.
func TestReasonsCannotBeChanged(t *testing.T) {
	denial.Reasons()[0] = "changed"
	if slices.Contains(denial.Reasons(), "changed") {
		t.Error("a caller changed the list of reasons")
	}
}

func TestOf(t *testing.T) {
	refusal := denial.New(denial.AccessDenied, "client %q", "mail")
	fault := errors.New("disk full")
	tests := []struct {
		name string
		err  error
		want *denial.Error
	}{
		{"the refusal itself", refusal, refusal},
		{"wrapped", fmt.Errorf("deciding: %w", refusal), refusal},
		{"wrapped twice", fmt.Errorf("a: %w", fmt.Errorf("b: %w", refusal)), refusal},
		{"joined with a fault", errors.Join(fault, refusal), refusal},
		{"a fault", fault, nil},
		{"a wrapped fault", fmt.Errorf("reading: %w", fault), nil},
		{"the text of a refusal is not a refusal", errors.New(refusal.Error()), nil},
		{"nil", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := denial.Of(tt.err); got != tt.want {
				t.Errorf("found %v, want %v", got, tt.want)
			}
		})
	}
}

func TestErrorIsReasonAndDetail(t *testing.T) {
	err := denial.New(denial.IdentityInvalid, "organizational unit %q", "a\nb")
	if want := `identity_invalid: organizational unit "a\nb"`; err.Error() != want {
		t.Errorf("found %q, want %q", err.Error(), want)
	}
	if want := `organizational unit "a\nb"`; err.Detail != want {
		t.Errorf("detail %q, want %q", err.Detail, want)
	}
}

// TestHint: the client is told the hint and nothing else, the operator both.
func TestHint(t *testing.T) {
	plain := denial.New(denial.AccessDenied, "client %q", "mail")
	advised := plain.WithHint("Ask the operator")
	if advised.Hint != "Ask the operator" || advised.Detail != `client "mail". Ask the operator` || advised.Reason != denial.AccessDenied {
		t.Errorf("found %+v", advised)
	}
	if plain.Hint != "" || plain.Detail != `client "mail"` {
		t.Errorf("want the refusal without a hint unchanged, found %+v", plain)
	}
}
