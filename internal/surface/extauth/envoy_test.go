package extauth

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/gate"
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/proxy/forward"
)

// TestEnvoyAllowed checks the complete response and record, for both forms of the header.
func TestEnvoyAllowed(t *testing.T) {
	for name, form := range map[string]func(*auth.CheckRequest) *auth.CheckRequest{
		"headers": func(r *auth.CheckRequest) *auth.CheckRequest { return r }, "header_map": encodeRaw,
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, trusting)
			c, _ := b.serveEnvoy(t)
			res := check(t, c, form(newCheck(t)))
			ok := res.GetOkResponse()
			if ok == nil || res.Status.GetCode() != 0 {
				t.Fatalf("%v: want an OK response", res)
			}
			h, line := headersOf(t, ok.Headers), b.record(t)
			if len(h) != 5 || h["x-client-id"] != "mail" || h["x-client-auth"] != "bearer" || h["x-client-cert-serial"] != line["serial"] ||
				len(h["x-client-cert-fingerprint"]) != 64 || h["x-request-id"] != "11f3e0b2" {
				t.Errorf("header %v: want the identity", h)
			}
			if vary := ok.GetResponseHeadersToAdd(); len(vary) != 1 || vary[0].Header.GetKey() != "vary" || vary[0].Header.GetValue() != "X-SSL-Auth" ||
				vary[0].AppendAction != core.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
				t.Errorf("for the response %v: want X-SSL-Auth added to Vary", vary)
			}
			for name, want := range map[string]any{
				"surface": "ext_authz", "decision": "allowed", "client": "mail", "auth": "bearer", "rule": "events", "method": "GET",
				"path": "/events", "request_id": "11f3e0b2", "source": "198.51.100.7", "status": 200.0,
				"trace_id": traceID, "span_id": spanID,
			} {
				if line[name] != want {
					t.Errorf("%s %v in the record, want %v", name, line[name], want)
				}
			}
			for name, want := range map[string]any{"client": "mail", "rule": "events", "key_id": line["key_id"], "auth": "bearer", "request_id": "11f3e0b2"} {
				if have := res.DynamicMetadata.Fields[name].GetStringValue(); have != want || have == "" {
					t.Errorf("%s %q in the metadata, want %v", name, have, want)
				}
			}
		})
	}
}

// TestHeadersToRemove checks that the response removes the fields that the public surface
// strips, and neither fields that Envoy needs nor fields that the response sets: Envoy
// removes fields after it sets fields.
func TestHeadersToRemove(t *testing.T) {
	b := newFixture(t, func(b *fixture) { b.provenance.ProxyHeader = "X-Seen-Cert" })
	c, _ := b.serveEnvoy(t)
	r := encodeRaw(newCheck(t))
	strip := []string{
		"x_client_id", "x-client-name", "x-client-assertion", "x_client_assertion", "x_ssl_auth", "client-cert", "client-cert-chain", "x-forwarded-client-cert", "x-forwarded-host",
		"x-forwarded-method", "x-original-uri", "x-rewrite-url", "x-http-method-override", "forwarded", "x-real-ip", "proxy", "content_length", "x_request_id",
	}
	for _, name := range strip {
		addRaw(r, name, "spoofed")
	}
	for _, name := range []string{"x-client-id", "x-client-auth", "x-client-cert-serial", "x-client-cert-fingerprint", "content-length", "transfer-encoding", "te", "accept", "cookie"} {
		addRaw(r, name, "1")
	}
	ok := check(t, c, r).GetOkResponse()
	have := ok.GetHeadersToRemove()
	slices.Sort(have)
	have = slices.Compact(have)
	want := append(strip, "x-ssl-auth", "x-seen-cert")
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("headers to remove %q, want %q", have, want)
	}
	for name := range headersOf(t, ok.GetHeaders()) {
		if slices.Contains(have, name) {
			t.Errorf("%s is set and would be removed", name)
		}
	}
}

// TestSignaturesToRemove checks that the response removes signatures that the gate has
// verified.
func TestSignaturesToRemove(t *testing.T) {
	s := &checker{Options: newFixture(t, nil).options, headers: forward.NewFilter(nil)}
	h := http.Header{"Signature": {"s"}, "Signature-Input": {"i"}, "Signature_input": {"i"}, "Content-Digest": {"d"}, "Accept": {"*/*"}}
	for read, want := range map[bool][]string{false: {"x-ssl-auth"}, true: {"signature", "signature-input", "signature_input", "x-ssl-auth"}} {
		have := s.toRemove(h, forward.Metadata{SignaturesRead: read})
		slices.Sort(have)
		if !slices.Equal(have, want) {
			t.Errorf("signatures read %t: headers to remove %q, want %q", read, have, want)
		}
	}
}

// TestEnvoyDenied checks that a check is denied if it differs from a valid one in one way.
func TestEnvoyDenied(t *testing.T) {
	w := newCertificates(t)
	mail := encode(w.mail)
	tests := []struct {
		name string
		bad  func(r *auth.CheckRequest)
		want refusal.Reason
	}{
		{"no attributes", func(r *auth.CheckRequest) { r.Attributes = nil }, refusal.OriginMissing},
		{"no request", func(r *auth.CheckRequest) { r.Attributes.Request = nil }, refusal.OriginMissing},
		{"no HTTP", func(r *auth.CheckRequest) { r.Attributes.Request.Http = nil }, refusal.OriginMissing},
		{"no method", func(r *auth.CheckRequest) { httpOf(r).Method = "" }, refusal.OriginMissing},
		{"no path", func(r *auth.CheckRequest) { httpOf(r).Path = "" }, refusal.OriginMissing},
		{"the client describes another request", func(r *auth.CheckRequest) {
			httpOf(r).Path, httpOf(r).Headers[":path"] = "/other", "/other"
			httpOf(r).Headers["x-original-uri"], httpOf(r).Headers["x-original-method"] = "/events", "GET"
			httpOf(r).Headers["x-forwarded-uri"], httpOf(r).Headers["x-forwarded-method"] = "/events", "GET"
		}, refusal.AccessDenied},
		{"another :path", func(r *auth.CheckRequest) { httpOf(r).Headers[":path"] = "/other" }, refusal.OriginAmbiguous},
		{"another :method", func(r *auth.CheckRequest) { httpOf(r).Headers[":method"] = "POST" }, refusal.OriginAmbiguous},
		{"two :path, raw", func(r *auth.CheckRequest) { encodeRaw(r); addRaw(r, ":path", "/events?a=1") }, refusal.OriginAmbiguous},
		{"another byte in the raw :path", func(r *auth.CheckRequest) { encodeRaw(r); httpOf(r).Path = "/events?a=!" }, refusal.OriginAmbiguous},
		{"both forms", func(r *auth.CheckRequest) {
			httpOf(r).HeaderMap = &core.HeaderMap{Headers: []*core.HeaderValue{{Key: "accept", RawValue: []byte("*/*")}}}
		}, refusal.OriginAmbiguous},
		{"no certificate", func(r *auth.CheckRequest) { delete(httpOf(r).Headers, "x-ssl-auth") }, refusal.CredentialMissing},
		{"empty", func(r *auth.CheckRequest) { httpOf(r).Headers["x-ssl-auth"] = "" }, refusal.CredentialMissing},
		{"empty, raw", func(r *auth.CheckRequest) { httpOf(r).Headers["x-ssl-auth"] = ""; encodeRaw(r) }, refusal.CredentialMissing},
		{"two, joined", func(r *auth.CheckRequest) { httpOf(r).Headers["x-ssl-auth"] = mail + "," + encode(w.social) }, refusal.CredentialDuplicated},
		{"two, joined with a blank", func(r *auth.CheckRequest) { httpOf(r).Headers["x-ssl-auth"] = mail + ", " + mail }, refusal.CredentialDuplicated},
		{"one and an empty one, joined", func(r *auth.CheckRequest) { httpOf(r).Headers["x-ssl-auth"] = mail + "," }, refusal.CredentialDuplicated},
		{"two in two cases", func(r *auth.CheckRequest) { httpOf(r).Headers["X-SSL-Auth"] = mail }, refusal.CredentialDuplicated},
		{"two, raw", func(r *auth.CheckRequest) { encodeRaw(r); addRaw(r, "x-ssl-auth", mail) }, refusal.CredentialDuplicated},
		{"one and an empty one, raw", func(r *auth.CheckRequest) { encodeRaw(r); addRaw(r, "x-ssl-auth", "") }, refusal.CredentialDuplicated},
		{"raw and not raw", func(r *auth.CheckRequest) {
			encodeRaw(r)
			for _, field := range httpOf(r).HeaderMap.Headers {
				if field.Key == "x-ssl-auth" {
					field.Value = encode(w.social)
				}
			}
		}, refusal.CredentialDuplicated},
		{"another client", func(r *auth.CheckRequest) { httpOf(r).Headers["x-ssl-auth"] = encode(w.social) }, refusal.AccessDenied},
		{"too long", func(r *auth.CheckRequest) { httpOf(r).Headers["x-ssl-auth"] = strings.Repeat("M", 2049) }, refusal.CredentialTooLarge},
		{"ambiguous path", func(r *auth.CheckRequest) { httpOf(r).Path, httpOf(r).Headers[":path"] = "//events", "//events" }, refusal.PathAmbiguous},
		{"fragment", func(r *auth.CheckRequest) { httpOf(r).Path, httpOf(r).Headers[":path"] = "/events#", "/events#" }, refusal.PathAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, nil)
			c, _ := b.serveEnvoy(t)
			r := newCheck(t)
			tt.bad(r)
			wantDenied(t, b, check(t, c, r), tt.want)
		})
	}
}

// TestCommasInThePath checks that a path with commas is accepted in Envoy's default form,
// which joins values with commas.
func TestCommasInThePath(t *testing.T) {
	b := newFixture(t, nil)
	c, _ := b.serveEnvoy(t)
	r := newCheck(t)
	httpOf(r).Path, httpOf(r).Headers[":path"] = "/events?a,b", "/events?a,b"
	if res := check(t, c, r); res.GetOkResponse() == nil {
		t.Errorf("%v: want an OK response", res)
	}
}

// TestHandshake checks that the handshake certificate in the attributes is used only from
// a trusted proxy, and that it then replaces the header.
func TestHandshake(t *testing.T) {
	w := newCertificates(t)
	pem := func(client string) string {
		c := w.mail
		if client == "social" {
			c = w.social
		}
		return certheader.Encode(certheader.PercentPEM, c.Raw)
	}
	tests := []struct {
		name   string
		change func(*fixture)
		source string // the client in the handshake
		header bool   // mail in X-SSL-Auth
		want   refusal.Reason
		auth   string
	}{
		{"trusted", trusting, "mail", false, "", "mtls"},
		{"trusted, the client's header is ignored", trusting, "social", true, refusal.AccessDenied, ""},
		{"trusted, no handshake", trusting, "", true, "", "bearer"},
		{"not trusted", nil, "mail", false, refusal.CredentialMissing, ""},
		{"not trusted, the client's header is used", nil, "social", true, "", "bearer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, tt.change)
			c, _ := b.serveEnvoy(t)
			r := newCheck(t)
			if !tt.header {
				delete(httpOf(r).Headers, "x-ssl-auth")
			}
			if tt.source != "" {
				r.Attributes.Source.Certificate = pem(tt.source)
			}
			res := check(t, c, r)
			if tt.want != "" {
				wantDenied(t, b, res, tt.want)
				return
			}
			if have := headersOf(t, res.GetOkResponse().GetHeaders())["x-client-auth"]; have != tt.auth || b.record(t)["auth"] != tt.auth {
				t.Errorf("%v: want an OK response by %s", res, tt.auth)
			}
		})
	}
}

// TestEnvoyPeers checks that a check from another address than the peers' is denied, even
// if its connection was accepted. The result must be a denied response, because Envoy can
// be configured to ignore a gRPC error.
func TestEnvoyPeers(t *testing.T) {
	for name, peers := range map[string][]netip.Prefix{"no peers": nil, "other peers": {netip.MustParsePrefix("192.0.2.0/24")}} {
		b := newFixture(t, func(b *fixture) {
			trusting(b)
			b.options.Peers = peers
		})
		s := &checker{Options: b.options, headers: forward.NewFilter(nil), vary: forward.NewVary(nil), limiter: newReceiveLimiter(largeBounds())}
		ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}})
		res, err := s.Check(ctx, newCheck(t))
		if err != nil {
			t.Fatal(err)
		}
		wantDenied(t, b, res, refusal.PeerUntrusted)
		if b.sources.calls != 0 {
			t.Errorf("%s: want no verification, found %d", name, b.sources.calls)
		}
	}
}

// TestEnvoyFailsClosed checks that an internal error is a denied response.
func TestEnvoyFailsClosed(t *testing.T) {
	for name, g := range map[string]*gate.Gate{"a panic": {Identifier: panickingIdentifier{}}, "the zero gate": {}} {
		b := newFixture(t, func(b *fixture) { b.gate = g })
		c, _ := b.serveEnvoy(t)
		if res := check(t, c, newCheck(t)); res.GetOkResponse() != nil || res.GetDeniedResponse() == nil || res.Status.GetCode() == 0 {
			t.Errorf("%s: %v: want it denied", name, res)
		}
	}
	b := newFixture(t, nil)
	c, _ := b.serveEnvoy(t)
	r := newCheck(t)
	httpOf(r).Body = strings.Repeat("a", 65<<10)
	if _, err := auth.NewAuthorizationClient(c).Check(t.Context(), r); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a check over the limit: %v, want it refused", err)
	}
}

// TestHealth checks that Check returns SERVING until the gateway stops, and that Watch is
// not implemented.
func TestHealth(t *testing.T) {
	stopping := false
	b := newFixture(t, func(b *fixture) {
		b.options.Stopping = func() bool { return stopping }
	})
	c, _ := b.serveEnvoy(t)
	client := healthpb.NewHealthClient(c)
	for _, tt := range []struct {
		service  string
		stopping bool
		want     healthpb.HealthCheckResponse_ServingStatus
		code     codes.Code
	}{
		{"", false, healthpb.HealthCheckResponse_SERVING, codes.OK},
		{"envoy.service.auth.v3.Authorization", false, healthpb.HealthCheckResponse_SERVING, codes.OK},
		{"other", false, 0, codes.NotFound},
		{"", true, healthpb.HealthCheckResponse_NOT_SERVING, codes.OK},
	} {
		stopping = tt.stopping
		res, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: tt.service})
		if res.GetStatus() != tt.want || status.Code(err) != tt.code {
			t.Errorf("%+v: %v, %v", tt, res, err)
		}
	}
	watch, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("watching: %v, want it refused", err)
	}
}

// blockingIdentifier is an identifier that blocks until the test releases it.
type blockingIdentifier struct{ arrived, release chan struct{} }

func (w blockingIdentifier) Identify(gate.Claim, time.Time) gate.Identification {
	close(w.arrived)
	<-w.release
	return gate.Identification{Last: gate.Credential, Err: refusal.New(refusal.CredentialMissing, "late")}
}

// TestShutdown checks that an open check gets its response, or is canceled at the deadline.
func TestShutdown(t *testing.T) {
	for _, finishes := range []bool{true, false} {
		w := blockingIdentifier{make(chan struct{}), make(chan struct{})}
		b := newFixture(t, func(b *fixture) { b.gate.Identifier = w })
		c, s := b.serveEnvoy(t)
		result := make(chan error, 1)
		go func() {
			_, err := auth.NewAuthorizationClient(c).Check(context.Background(), newCheck(t))
			result <- err
		}()
		<-w.arrived
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(ctx) }()
		if finishes {
			close(w.release)
		} else {
			cancel()
		}
		if err := <-result; (err == nil) != finishes {
			t.Errorf("finishes %t: response %v", finishes, err)
		}
		if !finishes {
			close(w.release)
		}
		if err := <-ended; (err == nil) != finishes {
			t.Errorf("finishes %t: Shutdown %v", finishes, err)
		}
	}
}
