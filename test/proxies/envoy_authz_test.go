package proxies

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

const envoyAuthzFile = "envoy-ext-authz.yaml"

// envoyValues returns the values of the configuration's placeholders.
func envoyValues(authz string, g *harness.Gateway) map[string]string {
	values := map[string]string{}
	values["AUTHZ_HOST"], values["AUTHZ_PORT"], _ = strings.Cut(authz, ":")
	values["SERVICE_HOST"], values["SERVICE_PORT"], _ = strings.Cut(strings.TrimPrefix(g.Upstream.URL, "http://"), ":")
	return values
}

// startEnvoy runs Envoy with the documented configuration. It sends authorization requests
// for g to the address authz. The pairs of texts in edit change the configuration.
func startEnvoy(t *testing.T, g *harness.Gateway, authz string, edit ...string) authzProxy {
	t.Helper()
	o := proxyOptions{file: envoyAuthzFile, values: envoyValues(authz, g)}
	if len(edit) > 0 {
		o.edit = strings.NewReplacer(edit...).Replace
	}
	p := startProxy(t, o)
	return authzProxy{g, p.addr, "ext_authz", refusal.Reason.Status, func(t *testing.T, r harness.Request) harness.Response {
		t.Helper()
		return harness.Send(t, p.addr, r)
	}}
}

// TestEnvoyExtAuthz runs the documented configuration with the real Envoy.
func TestEnvoyExtAuthz(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "envoy")
	m := harness.NewMasterKey(t, "p256")
	mail, social := m.Issue(t, harness.OU("mail")), m.Issue(t, harness.OU("social"))
	g := harness.NewGateway(t, m, authzAsserting(t).With(harness.Env{"ACCESS_RULES": authzRules}))
	envoy := startEnvoy(t, g, g.Authz.GRPC)
	good, secret := harness.Get("/events", mail), harness.Get("/secret", mail)

	envoy.wantPassed(t, harness.Get("/events?a,b", mail), mail)
	envoy.wantPassed(t, good.With("X-Latin: caf\xe9", "X-Odd: a\tb"), mail)
	envoy.wantAuthorization(t, mail, social,
		encodedDots(mail),
		refusedRequest{"X-Envoy-Original-Path", secret.With("X-Envoy-Original-Path: /events", "X-Envoy-Original-Method: GET"), refusal.AccessDenied},
		refusedRequest{"absolute form", harness.Get("http://app.example/secret", mail), refusal.AccessDenied},
		refusedRequest{"XFCC, which Envoy removes", harness.PlainGet("/events").With("X-Forwarded-Client-Cert: " + mail.HeaderValue("xfcc")), refusal.CredentialMissing},
	)
	t.Run("address", func(t *testing.T) {
		// Envoy writes an address of the machine instead of 127.0.0.1.
		envoy.send(t, good.With("X-Forwarded-For: 203.0.113.7"))
		head := g.Upstream.WantOne(t)
		if found := harness.HeaderValues(head, "X-Forwarded-For"); len(found) != 1 || strings.Contains(found[0], "203.0.113.7") {
			t.Errorf("want the client's address only, found %q", found)
		}
		if line := g.AuditLineOf(t, harness.HeaderValues(head, "X-Request-Id")[0]); line.Source == "203.0.113.7" || line.Source == "" {
			t.Errorf("want the client's address in the log, found %q", line.Source)
		}
	})
	t.Run("Vary", func(t *testing.T) {
		if found := envoy.send(t, good).Header.Values("Vary"); strings.Join(found, ",") != "X-SSL-Auth" {
			t.Errorf("want Vary: X-SSL-Auth, found %q", found)
		}
		g.Upstream.Take()
	})
}

// TestEnvoyExtAuthzAliases checks which spellings headers_to_remove removes: all that Envoy
// sends to certgate, even if Envoy accepts names with an underscore. With allowed_headers
// Envoy does not send them, and they reach the service.
func TestEnvoyExtAuthzAliases(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "envoy")
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, authzAsserting(t).With(harness.Env{"ACCESS_RULES": authzRules}))
	allow := []string{"headers_with_underscores_action: DROP_HEADER", "headers_with_underscores_action: ALLOW"}
	t.Run("all fields seen", func(t *testing.T) {
		startEnvoy(t, g, g.Authz.GRPC, allow...).wantNoAliases(t, mail)
	})
	t.Run("allowed_headers", func(t *testing.T) {
		envoy := startEnvoy(t, g, g.Authz.GRPC, append(allow, "failure_mode_allow: false",
			"failure_mode_allow: false\n                      allowed_headers: { patterns: [{ exact: x-ssl-auth }] }")...)
		for _, character := range aliasCharacters {
			if !envoy.aliasArrives(t, mail, character) {
				t.Errorf("X%[1]cClient%[1]cId: want it at the service, found it removed", character)
			}
		}
	})
}

// TestEnvoyExtAuthzIncomplete checks what Envoy does without a response, and what happens
// to a certificate with a chain without encode_raw_headers.
func TestEnvoyExtAuthzIncomplete(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "envoy")
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, harness.AuthzEnabled.With(harness.Env{"ACCESS_RULES": authzRules, "MAX_BODY_BYTES": "1KiB"}))
	unlisted := harness.NewGateway(t, m, harness.AuthzEnabled.With(harness.Env{"ACCESS_RULES": authzRules, "AUTHZ_PEERS": "192.0.2.1/32"}))
	failOpen := []string{"failure_mode_allow: false", "failure_mode_allow: true"}
	withBody := []string{"# with_request_body:", "with_request_body:"}
	large := harness.Get("/events", mail).Post(strings.Repeat("a", 300<<10))
	for _, test := range []struct {
		name, authz string
		edit        []string
		request     harness.Request
		status      int
	}{
		{"no listener", harness.FreeAddress(t), nil, harness.Get("/events", mail), http.StatusForbidden},
		{"no listener, failure_mode_allow", harness.FreeAddress(t), failOpen, harness.PlainGet("/secret"), http.StatusOK},
		{"not a peer", unlisted.Authz.GRPC, nil, harness.Get("/events", mail), http.StatusForbidden},
		{"not a peer, failure_mode_allow", unlisted.Authz.GRPC, failOpen, harness.PlainGet("/secret"), http.StatusOK},
		{"check request too long", g.Authz.GRPC, withBody, large, http.StatusForbidden},
		{"check request too long, failure_mode_allow", g.Authz.GRPC, append(withBody, failOpen...), large, http.StatusOK},
		{"refused, failure_mode_allow", g.Authz.GRPC, failOpen, harness.PlainGet("/events"), http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			envoy := startEnvoy(t, g, test.authz, test.edit...)
			if a := envoy.send(t, test.request); a.Status != test.status {
				t.Errorf("want %d, found %d and %s", test.status, a.Status, a.Body)
			}
			if found := g.Upstream.Take(); (found != "") != (test.status == http.StatusOK) {
				t.Errorf("want the request at the service: %t, found %.100q", test.status == http.StatusOK, found)
			}
		})
	}
	t.Run("chain", func(t *testing.T) {
		_, issuer := harness.VectorCertificates(t)
		u := harness.NewUpstream(t, nil)
		g := harness.StartGateway(t, u, harness.GatewayEnv(string(issuer.PEM), u).With(harness.AuthzEnabled))
		r := harness.PlainGet("/events").With("X-SSL-Auth: " + vector(t, "der-chain"))
		if a := startEnvoy(t, g, g.Authz.GRPC).send(t, r); a.Status != http.StatusOK {
			t.Errorf("want 200, found %d and %s", a.Status, a.Body)
		}
		g.Upstream.WantOne(t)
		startEnvoy(t, g, g.Authz.GRPC, "encode_raw_headers: true", "encode_raw_headers: false").wantRefused(t, r, refusal.CredentialDuplicated)
	})
}

// TestEnvoyExtAuthzBodies checks signed requests with content behind the real Envoy.
func TestEnvoyExtAuthzBodies(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "envoy")
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.AuthzEnabled.With(harness.SignatureRequired()))
	c := harness.Signer{Certificate: m.Issue(t, harness.OU("mail")), Key: m.ReadKey(t, "p256.key")}
	binary := strings.Repeat("\xff\x00\xfe", 1000)
	sign := func(body string) harness.Request {
		return c.Sign(t, harness.PlainRequest("POST", "/events").Post(body), harness.SignatureOptions{})
	}
	wantSigned := func(t *testing.T, envoy authzProxy, r harness.Request, body string) {
		t.Helper()
		if a := envoy.send(t, r); a.Status != http.StatusOK {
			t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
		}
		head, found, _ := strings.Cut(g.Upstream.Take(), "\r\n\r\n")
		harness.WantClientHeaders(t, strings.Split(head, "\r\n"), "mail", "signed", c.Certificate)
		if found != body {
			t.Errorf("want %d bytes of content at the service, found %d", len(body), len(found))
		}
		for _, name := range []string{"Signature", "Signature-Input", "X-SSL-Auth"} {
			if values := harness.HeaderValues(strings.Split(head, "\r\n"), name); len(values) > 0 {
				t.Errorf("want no %s at the service, found %q", name, values)
			}
		}
	}
	t.Run("documented", func(t *testing.T) {
		envoy := startEnvoy(t, g, g.Authz.GRPC)
		wantSigned(t, envoy, c.Sign(t, harness.PlainRequest("GET", "/events?a=1"), harness.SignatureOptions{}), "")
		envoy.wantRefused(t, sign("hello"), refusal.ProofDigest)
	})
	t.Run("with_request_body", func(t *testing.T) {
		envoy := startEnvoy(t, g, g.Authz.GRPC, "# with_request_body:", "with_request_body:")
		wantSigned(t, envoy, c.Sign(t, harness.PlainRequest("GET", "/events?a=1"), harness.SignatureOptions{}), "")
		wantSigned(t, envoy, sign("hello"), "hello")
		wantSigned(t, envoy, sign(binary), binary)
		long := strings.Repeat("a", 500<<10)
		wantSigned(t, envoy, sign(long), long)
		r := sign("hello")
		r.Body = harness.Chunked("hello", 2)
		wantSigned(t, envoy, r.With("Transfer-Encoding: chunked"), harness.Chunked("hello", 5))
		r = sign("hello")
		r.Body = "hallo"
		envoy.wantRefused(t, r, refusal.ProofDigest)
		r = sign("hello")
		r.Body = ""
		envoy.wantRefused(t, r, refusal.ProofDigest)
		envoy.wantRefused(t, c.Sign(t, harness.PlainRequest("GET", "/events"), harness.SignatureOptions{}).Post("x"), refusal.ProofIncomplete)
		if a := envoy.send(t, sign(strings.Repeat("a", 1<<20+1))); a.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("want 413, found %d", a.Status)
		}
		g.Upstream.WantNothing(t)
	})
	t.Run("allow_partial_message", func(t *testing.T) {
		envoy := startEnvoy(t, g, g.Authz.GRPC, "# with_request_body: { max_request_bytes: 1048576,", "with_request_body: { max_request_bytes: 5, allow_partial_message: true,")
		wantSigned(t, envoy, sign("four"), "four")
		// Envoy sends the first five bytes, which are the signed ones.
		for _, lines := range [][]string{nil, {"X-Envoy-Auth-Partial-Body: false"}} {
			r := sign("hello").With(lines...)
			r.Body = "hello, and more"
			envoy.wantRefused(t, r, refusal.ProofDigest)
			r = sign("hello").With(append(lines, "Transfer-Encoding: chunked")...)
			r.Body = harness.Chunked("hello, and more", 5)
			envoy.wantRefused(t, r, refusal.ProofDigest)
		}
	})
	t.Run("without pack_as_bytes", func(t *testing.T) {
		envoy := startEnvoy(t, g, g.Authz.GRPC, "# with_request_body:", "with_request_body:", ", pack_as_bytes: true", "")
		wantSigned(t, envoy, sign("hello"), "hello")
		// Envoy replaces bytes that are not UTF-8.
		envoy.wantRefused(t, sign(binary), refusal.ProofDigest)
	})
}

// TestEnvoyExtAuthzHandshake checks that certgate uses the certificate of a handshake with
// Envoy (include_peer_certificate), and no field that the client sends.
func TestEnvoyExtAuthzHandshake(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "envoy")
	c := newCredentials(t)
	g := harness.NewGateway(t, c.clients, harness.AuthzEnabled)
	const filters = "        - filters:\n"
	attaches := string(harness.ReadFile(t, proxyFolder, envoyMTLSFile))
	socket := attaches[strings.Index(attaches, "        - transport_socket:\n"):strings.Index(attaches, "          filters:\n")]
	o := proxyOptions{file: envoyAuthzFile, values: envoyValues(g.Authz.GRPC, g), edit: strings.NewReplacer(filters, socket+"          filters:\n").Replace}
	maps.Copy(o.values, c.files)
	f := &proxiedGateway{credentials: c, addr: startProxy(t, o).addr, mutual: true, gateway: g}
	for name, lines := range map[string][]string{
		"alone": nil, "another in X-SSL-Auth": {f.attached("X-SSL-Auth")}, "another in XFCC": {"X-Forwarded-Client-Cert: " + c.social.HeaderValue("xfcc")},
	} {
		t.Run(name, func(t *testing.T) {
			if a := f.sendAsMail(t, harness.PlainGet("/events").With(lines...)); a.Status != http.StatusOK {
				t.Fatalf("want 200, found %d and %s", a.Status, a.Body)
			}
			harness.WantClientHeaders(t, g.Upstream.WantOne(t), "mail", "mtls", c.mail)
		})
	}
	if a, err := f.send(t, harness.PlainGet("/events"), []tls.Certificate(nil)...); err == nil && a.Status < http.StatusBadRequest {
		t.Errorf("want a handshake without a certificate refused, found %d", a.Status)
	}
}

// TestEnvoyExtAuthzHealth checks that Envoy takes certgate out when it begins to stop, and that
// certgate still responds then. Envoy's own log gets the metadata.
func TestEnvoyExtAuthzHealth(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "envoy")
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, authzAsserting(t).With(harness.Env{"ACCESS_RULES": authzRules, "SHUTDOWN_DELAY": "1h"}))
	admin := harness.FreeAddress(t)
	host, port, _ := strings.Cut(admin, ":")
	envoy := startEnvoy(t, g, g.Authz.GRPC, "static_resources:", "admin: { address: { socket_address: { address: "+host+", port_value: "+port+" } } }\nstatic_resources:",
		"request_headers_to_add:", "response_headers_to_add:\n                    - { header: { key: x-metadata, value: "+
			`"%DYNAMIC_METADATA(envoy.filters.http.ext_authz:client)% %DYNAMIC_METADATA(envoy.filters.http.ext_authz:rule)% %DYNAMIC_METADATA(envoy.filters.http.ext_authz:auth)%" } }`+
			"\n                  request_headers_to_add:")
	waitForHealth(t, admin, "healthy")
	if found := envoy.send(t, harness.Get("/events", mail)).Header.Get("X-Metadata"); found != "mail events bearer" {
		t.Errorf("want the metadata mail, events and bearer, found %q", found)
	}
	g.Upstream.Take()
	g.Signal(t, syscall.SIGTERM)
	waitForHealth(t, admin, "/failed_active_hc")
	envoy.wantPassed(t, harness.Get("/events", mail), mail)
	// The signal at the end of the test ends SHUTDOWN_DELAY.
}

// waitForHealth waits until Envoy reports this health of certgate.
func waitForHealth(t *testing.T, admin, want string) {
	t.Helper()
	found := ""
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); time.Sleep(harness.PollInterval) {
		response, err := http.Get("http://" + admin + "/clusters")
		if err != nil {
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(body)) {
			if strings.HasPrefix(line, "certgate::") && strings.Contains(line, "::health_flags::") {
				found = strings.TrimSpace(line)
			}
		}
		if strings.HasSuffix(found, "::health_flags::"+want) {
			return
		}
	}
	t.Fatalf("want certgate %s for Envoy, found %q", want, found)
}

// recordingAuthz records the check requests of Envoy and allows all of them.
type recordingAuthz struct {
	auth.UnimplementedAuthorizationServer

	received chan *auth.CheckRequest
}

func (q recordingAuthz) Check(_ context.Context, r *auth.CheckRequest) (*auth.CheckResponse, error) {
	q.received <- r
	return &auth.CheckResponse{}, nil
}

// TestEnvoyCheckRequest checks the form of Envoy's check requests, which tests without Envoy
// imitate.
func TestEnvoyCheckRequest(t *testing.T) {
	t.Parallel()
	harness.LookProgram(t, "envoy")
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	q, server := recordingAuthz{received: make(chan *auth.CheckRequest, 10)}, grpc.NewServer()
	auth.RegisterAuthorizationServer(server, q)
	go func() { _ = server.Serve(l) }() // until Stop
	defer server.Stop()
	r := harness.PlainGet("/events?a=1").With("X-SSL-Auth: one", "X-SSL-Auth: two, three", "X-Latin: caf\xe9").Post("hello")
	for _, raw := range []bool{true, false} {
		edit := []string{"# with_request_body:", "with_request_body:"}
		want := "header_map [one two, three] caf\xe9"
		if !raw {
			edit, want = append(edit, "encode_raw_headers: true", "encode_raw_headers: false"), "headers [one,two, three] caf!"
		}
		startEnvoy(t, g, l.Addr().String(), edit...).send(t, r)
		g.Upstream.Take()
		request := (<-q.received).GetAttributes().GetRequest().GetHttp()
		form, credentials, latin := "headers", []string{request.GetHeaders()["x-ssl-auth"]}, request.GetHeaders()["x-latin"]
		path, partial := request.GetHeaders()[":path"], request.GetHeaders()["x-envoy-auth-partial-body"]
		if fields := request.GetHeaderMap().GetHeaders(); len(fields) > 0 {
			values := map[string][]string{}
			for _, field := range fields {
				values[field.GetKey()] = append(values[field.GetKey()], string(field.GetRawValue())+field.GetValue())
			}
			form, credentials, latin = "header_map", values["x-ssl-auth"], strings.Join(values["x-latin"], "|")
			path, partial = strings.Join(values[":path"], "|"), strings.Join(values["x-envoy-auth-partial-body"], "|")
		}
		if found := fmt.Sprintf("%s %v %s", form, credentials, latin); found != want {
			t.Errorf("want %q, found %q", want, found)
		}
		if path != request.GetPath() || partial != "false" || request.GetMethod() != http.MethodPost || string(request.GetRawBody()) != "hello" || request.GetBody() != "" {
			t.Errorf("want the whole request once, found %v", request)
		}
	}
}
