package refusal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
)

// statuses repeats the contract with clients, so that a change of a status in the
// package fails a test unless it is made here too.
var statuses = map[refusal.Reason]int{
	refusal.PathAmbiguous:          http.StatusBadRequest,
	refusal.RequestAmbiguous:       http.StatusBadRequest,
	refusal.RequestMalformed:       http.StatusBadRequest,
	refusal.MethodNotAllowed:       http.StatusMethodNotAllowed,
	refusal.ExpectationFailed:      http.StatusExpectationFailed,
	refusal.PeerUntrusted:          http.StatusForbidden,
	refusal.OriginMissing:          http.StatusForbidden,
	refusal.OriginAmbiguous:        http.StatusForbidden,
	refusal.CredentialMissing:      http.StatusUnauthorized,
	refusal.CredentialMalformed:    http.StatusUnauthorized,
	refusal.CredentialDuplicated:   http.StatusUnauthorized,
	refusal.CredentialTooLarge:     http.StatusRequestHeaderFieldsTooLarge,
	refusal.CredentialPrivateKey:   http.StatusUnauthorized,
	refusal.ProxyUntrusted:         http.StatusUnauthorized,
	refusal.CertificateUntrusted:   http.StatusForbidden,
	refusal.CertificateExpired:     http.StatusForbidden,
	refusal.CertificateNotYetValid: http.StatusForbidden,
	refusal.CertificateRevoked:     http.StatusForbidden,
	refusal.CertificateWeak:        http.StatusForbidden,
	refusal.CertificateUnsuitable:  http.StatusForbidden,
	refusal.CertificateLifetime:    http.StatusForbidden,
	refusal.RevocationUnknown:      http.StatusForbidden,
	refusal.LegacySharedKey:        http.StatusForbidden,
	refusal.IdentityMissing:        http.StatusForbidden,
	refusal.IdentityAmbiguous:      http.StatusForbidden,
	refusal.IdentityInvalid:        http.StatusForbidden,
	refusal.IdentityOutOfScope:     http.StatusForbidden,
	refusal.ProofMissing:           http.StatusUnauthorized,
	refusal.ProofMalformed:         http.StatusUnauthorized,
	refusal.ProofIncomplete:        http.StatusUnauthorized,
	refusal.ProofExpired:           http.StatusUnauthorized,
	refusal.ProofInvalid:           http.StatusUnauthorized,
	refusal.ProofDigest:            http.StatusUnauthorized,
	refusal.ProofReplayed:          http.StatusUnauthorized,
	refusal.ProofImpossible:        http.StatusUnauthorized,
	refusal.AccessDenied:           http.StatusForbidden,
	refusal.BodyTooLarge:           http.StatusRequestEntityTooLarge,
	refusal.ClientClosed:           499, // nginx's "client closed request"
	refusal.RequestTimeout:         http.StatusRequestTimeout,
	refusal.UpstreamFailed:         http.StatusBadGateway,
	refusal.UpstreamTimeout:        http.StatusGatewayTimeout,
	refusal.RateLimited:            http.StatusTooManyRequests,
	refusal.Overloaded:             http.StatusServiceUnavailable,
	refusal.Draining:               http.StatusServiceUnavailable,
	refusal.Internal:               http.StatusInternalServerError,
}

func TestStatusOfEveryReason(t *testing.T) {
	for _, reason := range refusal.Reasons() {
		want, ok := statuses[reason]
		if !ok {
			t.Errorf("%s: want a status in this test's table, found none", reason)
			continue
		}
		if got := reason.Status(); got != want {
			t.Errorf("%s: status %d, want %d", reason, got, want)
		}
	}
	if got, want := len(refusal.Reasons()), len(statuses); got != want {
		t.Errorf("%d reasons, want the %d of this test's table", got, want)
	}
}

// TestEveryConstantHasAStatus reads the source file, because a constant that is
// missing in the package's table is missing in Reasons too.
func TestEveryConstantHasAStatus(t *testing.T) {
	declared := declaredReasons(t)
	if len(declared) == 0 {
		t.Fatal("found no constants of type Reason")
	}
	known := refusal.Reasons()
	for name, reason := range declared {
		if !slices.Contains(known, reason) {
			t.Errorf("%s (%s): want a status and a title, found neither", name, reason)
		}
	}
	if len(known) != len(declared) {
		t.Errorf("%d reasons in the table, want %d as declared", len(known), len(declared))
	}
}

// declaredReasons returns every constant of type Reason in reason.go. The test fails
// if two constants have the same value.
func declaredReasons(t *testing.T) map[string]refusal.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]refusal.Reason{}
	constants := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !isReason(spec.Type) {
			return true
		}
		for i, name := range spec.Names {
			value := literal(t, spec, i)
			if first, dup := constants[value]; dup {
				t.Errorf("%s and %s are both %q", first, name.Name, value)
			}
			constants[value] = name.Name
			declared[name.Name] = refusal.Reason(value)
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

// TestClientRefusalsHaveStatus401Or403 checks what nginx's auth_request needs: nginx
// turns every other status into 500.
func TestClientRefusalsHaveStatus401Or403(t *testing.T) {
	prefixes := []string{"peer_", "origin_", "credential_", "proxy_", "certificate_", "revocation_", "legacy_", "identity_", "access_"}
	for _, reason := range refusal.Reasons() {
		aboutClient := slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(string(reason), p) })
		if !aboutClient || reason == refusal.CredentialTooLarge {
			continue
		}
		if s := reason.Status(); s != http.StatusUnauthorized && s != http.StatusForbidden {
			t.Errorf("%s: status %d, want 401 or 403", reason, s)
		}
	}
}

func TestUnknownReasonHasStatus500(t *testing.T) {
	for _, reason := range []refusal.Reason{"", "no_such_reason", "ACCESS_DENIED"} {
		if got := reason.Status(); got != http.StatusInternalServerError {
			t.Errorf("%q: status %d, want 500", reason, got)
		}
		if got, want := reason.Title(), refusal.Internal.Title(); got != want {
			t.Errorf("%q: title %q, want that of Internal", reason, got)
		}
	}
}

func TestReasonsAndTitlesHaveAForm(t *testing.T) {
	code := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	title := regexp.MustCompile(`^[A-Z][a-zA-Z' ]+[a-z]$`)
	reasons := refusal.Reasons()
	if !slices.IsSorted(reasons) {
		t.Errorf("reasons are not in alphabetical order: %v", reasons)
	}
	seen := map[string]refusal.Reason{}
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

// TestReasonsReturnsACopy checks that a caller cannot change the table.
func TestReasonsReturnsACopy(t *testing.T) {
	refusal.Reasons()[0] = "changed"
	if slices.Contains(refusal.Reasons(), "changed") {
		t.Error("a caller changed the list of reasons")
	}
}
