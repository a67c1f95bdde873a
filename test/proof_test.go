package test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certgate/certgate/internal/core/certheader"
	"github.com/certgate/certgate/internal/core/refusal"
)

// proving are the settings of a gateway where every request must be signed.
func proving() environment {
	return environment{"AUTH_PROOF": "require", "PUBLIC_AUTHORITY": "app.example"}
}

func plain(method, target string) request { return request{method: method, target: target} }

// TestProofByEveryKey: a signed request passes with each kind of key, and the
// service hears that it was signed.
func TestProofByEveryKey(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "rsa")
	g := newGateway(t, m, proving())
	for _, key := range []string{"p256", "p384", "ed25519", "rsa", "rsa4096"} {
		t.Run(key, func(t *testing.T) {
			c := m.newClient(t, certificateOptions{subject: "/OU=mail", key: key})
			for _, r := range []request{
				plain("GET", "/events"), plain("GET", "/events?from=2013-08-01&%20="), plain("HEAD", "/events"),
				plain("POST", "/events").post(eventBody("Meeting")), plain("POST", "/events"),
				plain("POST", "/events").post(strings.Repeat("a", 200<<10)),
			} {
				head := g.wantAllowed(t, c.sign(t, r, claim{}))
				if found := headerValues(head, "X-Client-Auth"); !slices.Equal(found, []string{"signed"}) {
					t.Errorf("%s %s: want X-Client-Auth: signed, found %q", r.method, r.target, found)
				}
				for _, name := range []string{"Signature", "Signature-Input", "X-SSL-Auth"} {
					if found := headerValues(head, name); len(found) != 0 {
						t.Errorf("want no %s at the upstream, found %d", name, len(found))
					}
				}
			}
		})
	}
}

// TestProofOfChunks: the bytes that were signed are those that arrive, however
// they were framed.
func TestProofOfChunks(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, proving())
	c := m.newClient(t, subject("mail"))
	body := strings.Repeat("0123456789", 20<<10)
	r := c.sign(t, plain("POST", "/events").post(body), claim{}).with("Transfer-Encoding: chunked")
	r.body = chunked(body, 7777)
	a := send(t, g.addr, r)
	if a.status != 200 {
		t.Fatalf("want 200, found %d and %s", a.status, a.body)
	}
	if found := g.upstream.take(); !strings.HasSuffix(found, "\r\n\r\n"+body) {
		t.Errorf("want the body whole at the upstream, found %d bytes", len(found))
	}
	other := c.sign(t, plain("POST", "/events").post(body), claim{}).with("Transfer-Encoding: chunked")
	other.body = chunked(body[1:]+"x", 7777)
	g.wantRefused(t, other, refusal.ProofDigest)
}

// TestProofRefusals changes a signed request in one way, each after it has passed
// unchanged.
func TestProofRefusals(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "rsa")
	g := newGateway(t, m, proving().with(environment{"AUTH_CLOCK_SKEW": "0s"}))
	mail := m.newClient(t, subject("mail"))
	// Another certificate of the same client over the same key, and over another.
	twin := m.newClient(t, subject("mail"))
	other := m.newClient(t, certificateOptions{subject: "/OU=mail", key: "ed25519"})
	social := m.newClient(t, subject("social"))
	shared := client{m.share(t, "mail"), m.readKey(t, m.key)}

	post := plain("POST", "/events?a=1").post(eventBody("Meeting"))
	attach := func(r request, as client) request {
		return r.without(t, "X-SSL-Auth").with("X-SSL-Auth: " + as.header(certheader.Base64DER))
	}
	covering := func(components ...string) claim { return claim{components: components} }
	all := []string{`"@method"`, `"@authority"`, `"@path"`, `"@query"`, `"x-ssl-auth"`, `"content-digest"`}
	but := func(i int) claim { return covering(slices.Delete(slices.Clone(all), i, i+1)...) }
	parameters := func(change func(p string) string) claim {
		return claim{parameters: change(fmt.Sprintf(`;created=%d;expires=%d;nonce="n%d";keyid=%q;tag="certgate"`,
			time.Now().Unix(), time.Now().Unix()+60, time.Now().UnixNano(), "sha256/"+strings.TrimPrefix(mail.spki(), "sha256/")))}
	}
	cut := func(name string) claim {
		return parameters(func(p string) string {
			var kept []string
			for _, one := range strings.Split(p, ";")[1:] {
				if !strings.HasPrefix(one, name+"=") {
					kept = append(kept, one)
				}
			}
			return ";" + strings.Join(kept, ";")
		})
	}
	signed := func(s claim) request { return mail.sign(t, post, s) }
	tests := []struct {
		name   string
		reason refusal.Reason
		bad    request
	}{
		{"not signed", refusal.ProofMissing, post.with("X-SSL-Auth: "+mail.header(certheader.Base64DER), "Content-Digest: "+digest(post.body))},
		{"for somebody else", refusal.ProofMissing, signed(parameters(func(p string) string { return strings.Replace(p, "certgate", "bank", 1) }))},
		{"no Signature", refusal.ProofMalformed, signed(claim{}).without(t, "Signature")},
		{"no Signature-Input", refusal.ProofMalformed, signed(claim{}).without(t, "Signature-Input")},
		{"another label", refusal.ProofMalformed, signed(claim{}).replacing(t, "Signature: sig1", "Signature: sig2")},
		{"not a dictionary", refusal.ProofMalformed, signed(claim{}).replacing(t, `("@method"`, `"@method"`)},
		{"a parameter twice", refusal.ProofMalformed, signed(parameters(func(p string) string { return p + `;tag="certgate"` }))},
		{"a component twice", refusal.ProofMalformed, signed(covering(append(slices.Clone(all), `"@path"`)...))},
		{"an unknown derived component", refusal.ProofMalformed, signed(covering(append(slices.Clone(all), `"@magic"`)...))},
		{"a component of answers", refusal.ProofMalformed, signed(covering(append(slices.Clone(all), `"@status"`)...))},
		{"two signatures", refusal.ProofMalformed, twice(t, signed(claim{}))},
		{"a covered field that Connection takes away", refusal.ProofMalformed, mail.sign(t, post.with("X-Total: 7"), covering(append(slices.Clone(all), `"x-total"`)...)).with("Connection: keep-alive,\tx-Total")},
		{"a label twice", refusal.ProofMalformed, signed(claim{}).with("Signature: sig1=:AAAA:")},
		{"a covered field with a twin", refusal.ProofMalformed, signed(claim{}).with("Content_Digest: " + digest(""))},
		{"a life of 301 seconds", refusal.ProofMalformed, signed(claim{lifetime: 301 * time.Second})},
		{"a nonce too long", refusal.ProofMalformed, signed(claim{nonce: strings.Repeat("n", 129)})},

		{"without @method", refusal.ProofIncomplete, signed(but(0))},
		{"without @authority", refusal.ProofIncomplete, signed(but(1))},
		{"without @path", refusal.ProofIncomplete, signed(but(2))},
		{"without @query", refusal.ProofIncomplete, signed(but(3))},
		{"without x-ssl-auth", refusal.ProofIncomplete, signed(but(4))},
		{"without content-digest", refusal.ProofIncomplete, signed(but(5))},
		{"a ? that nobody signed", refusal.ProofIncomplete, changed(mail.sign(t, plain("POST", "/events"), claim{}), func(r *request) { r.target += "?" })},
		{"a field that is not there", refusal.ProofIncomplete, signed(covering(append(slices.Clone(all), `"x-absent"`)...))},
		{"without created", refusal.ProofIncomplete, signed(cut("created"))},
		{"without expires", refusal.ProofIncomplete, signed(cut("expires"))},
		{"without nonce", refusal.ProofIncomplete, signed(cut("nonce"))},
		{"without keyid", refusal.ProofIncomplete, signed(cut("keyid"))},
		{"without tag", refusal.ProofIncomplete, signed(cut("tag"))},

		{"expired", refusal.ProofExpired, signed(claim{created: time.Now().Add(-62 * time.Second), lifetime: time.Minute})},
		{"not begun", refusal.ProofExpired, signed(claim{created: time.Now().Add(10 * time.Minute)})},

		{"another method", refusal.ProofInvalid, changed(signed(claim{}), func(r *request) { r.method = "GET" })},
		{"another path", refusal.ProofInvalid, changed(signed(claim{}), func(r *request) { r.target = "/events/?a=1" })},
		{"another query", refusal.ProofInvalid, changed(signed(claim{}), func(r *request) { r.target = "/events?a=2" })},
		{"no query", refusal.ProofInvalid, changed(signed(claim{}), func(r *request) { r.target = "/events" })},
		{"another service", refusal.ProofInvalid, signed(claim{authority: "sister.example"})},
		{"another certificate of the key", refusal.ProofInvalid, attach(signed(claim{}), twin)},
		{"another certificate of the client", refusal.ProofInvalid, attach(signed(claim{}), other)},
		{"another client", refusal.ProofInvalid, attach(signed(claim{}), social)},
		{"the certificate in another form", refusal.ProofInvalid, signed(claim{}).without(t, "X-SSL-Auth").with("X-SSL-Auth: " + mail.header(certheader.Base64PEM))},
		{"another key", refusal.ProofInvalid, attach(client{mail.certificate, other.key}.sign(t, post, claim{}), mail)},
		{"another keyid", refusal.ProofInvalid, signed(claim{keyID: strings.Repeat("a", 64)})},
		{"another nonce", refusal.ProofInvalid, signed(claim{nonce: "first-nonce"}).replacing(t, "first-nonce", "other-nonce")},
		{"another digest", refusal.ProofInvalid, changed(signed(claim{}).replacing(t, digest(post.body), digest("{}")), func(r *request) { r.body = "{}" })},
		{"a bit of the signature", refusal.ProofInvalid, flipped(t, signed(claim{}))},

		{"another body", refusal.ProofDigest, changed(signed(claim{}), func(r *request) { r.body = strings.Replace(r.body, "Meeting", "Beating", 1) })},
		{"a byte more", refusal.ProofDigest, changed(signed(claim{}), func(r *request) { r.body += " " })},
		{"no body", refusal.ProofDigest, changed(signed(claim{}), func(r *request) { r.body = "" }).with("Content-Length: 0")},
		{"a digest of no known kind", refusal.ProofDigest, signed(claim{digest: "md5=:" + base64.StdEncoding.EncodeToString(make([]byte, 16)) + ":"})},

		{"the master key itself", refusal.ProofImpossible, shared.sign(t, post, claim{})},
		{"the master key itself, not signed", refusal.ProofImpossible, post.with("X-SSL-Auth: "+shared.header(certheader.Base64DER), "Content-Digest: "+digest(post.body))},
	}
	for _, test := range tests {
		t.Run(string(test.reason)+"/"+test.name, func(t *testing.T) {
			g.wantAllowed(t, signed(claim{}).with("Connection: keep-alive, x-other"))
			method := test.bad.method
			a := g.wantRefused(t, test.bad, test.reason)
			accept := a.header.Get("Accept-Signature")
			if want := `sig1=("@method" "@authority" "@path" "@query" `; test.reason != refusal.ProofImpossible && !strings.HasPrefix(accept, want) {
				t.Errorf("%s: want Accept-Signature to begin with %s, found %q", method, want, accept)
			}
		})
	}
	reasons := map[refusal.Reason]bool{refusal.ProofReplayed: true} // TestProofReplays
	for _, test := range tests {
		reasons[test.reason] = true
	}
	for _, reason := range refusal.Reasons() {
		if strings.HasPrefix(string(reason), "proof_") && !reasons[reason] {
			t.Errorf("want a request that is refused for %s, found none", reason)
		}
	}
}

func changed(r request, change func(*request)) request {
	change(&r)
	return r
}

// twice has the same signature under another label, too.
func twice(t *testing.T, r request) request {
	t.Helper()
	input, signature := r.value("Signature-Input"), r.value("Signature")
	return r.with("Signature-Input: "+strings.Replace(input, "sig1", "sig2", 1), "Signature: "+strings.Replace(signature, "sig1", "sig2", 1))
}

// flipped has another bit in the middle of the signature.
func flipped(t *testing.T, r request) request {
	t.Helper()
	text := strings.TrimSuffix(strings.TrimPrefix(r.value("Signature"), "sig1=:"), ":")
	signature, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	signature[len(signature)/2] ^= 1
	return r.without(t, "Signature").with("Signature: sig1=:" + base64.StdEncoding.EncodeToString(signature) + ":")
}

// TestProofReplays: of a signed request that is sent again and again, on many
// connections at once, one passes.
func TestProofReplays(t *testing.T) {
	t.Parallel()
	const times, connections = 10_000, 32
	m := newMaster(t, "p256")
	g := newGateway(t, m, proving())
	r := m.newClient(t, subject("mail")).sign(t, plain("POST", "/events").post(eventBody("Meeting")), claim{})
	var allowed, replayed atomic.Int64
	var senders sync.WaitGroup
	for range connections {
		c := dial(t, g.addr)
		senders.Go(func() {
			for range times / connections {
				if _, err := c.Write([]byte(r.String())); err != nil {
					t.Error(err)
					return
				}
				switch a := c.read(t, r.method); {
				case a.status == 200:
					allowed.Add(1)
				case a.status == 401 && strings.Contains(a.body, string(refusal.ProofReplayed)):
					replayed.Add(1)
				default:
					t.Errorf("want 200 or proof_replayed, found %d and %s", a.status, a.body)
					return
				}
			}
		})
	}
	senders.Wait()
	if allowed.Load() != 1 || replayed.Load() != times/connections*connections-1 {
		t.Errorf("want 1 allowed and all others replayed, found %d and %d", allowed.Load(), replayed.Load())
	}
	g.upstream.wantOne(t)
}

// TestProofSpendsNothingForNothing: what fails leaves the nonce good.
func TestProofSpendsNothingForNothing(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, proving().with(environment{
		"ACCESS_RULES": "rules:\n  - {name: add, clients: [mail], allow: [\"POST /events\"], rate: 1/h, burst: 1}\n",
	}))
	c := m.newClient(t, subject("mail"))
	r := c.sign(t, plain("POST", "/events").post("body"), claim{})
	g.wantRefused(t, flipped(t, r), refusal.ProofInvalid)
	g.wantRefused(t, changed(r, func(r *request) { r.body = "ydob" }), refusal.ProofDigest)
	g.wantRefused(t, changed(r, func(r *request) { r.target = "/other" }), refusal.AccessDenied)
	g.wantAllowed(t, r)
	// And a replay takes no token of the rate either: it is the replay that is named.
	g.wantRefused(t, r, refusal.ProofReplayed)
	g.wantRefused(t, c.sign(t, plain("POST", "/events").post("body"), claim{}), refusal.RateLimited)
}

// TestProofByRule: a rule's word counts for more than the setting.
func TestProofByRule(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	c := m.newClient(t, subject("mail"))
	rules := `rules:
  - {name: signed, clients: [mail], allow: ["GET /signed"], proof: require}
  - {name: seen, clients: [mail], allow: ["GET /seen", "POST /seen"], proof: observe}
  - {name: "off", clients: [mail], allow: ["GET /off"], proof: "off"}
  - {name: unsaid, clients: [mail], allow: ["GET /unsaid"]}
`
	for _, setting := range []string{"off", "observe", "require"} {
		t.Run(setting, func(t *testing.T) {
			g := newGateway(t, m, proving().with(environment{"AUTH_PROOF": setting, "ACCESS_RULES": rules}))
			wantAuth := func(r request, auth string) auditLine {
				t.Helper()
				head := g.wantAllowed(t, r)
				if found := headerValues(head, "X-Client-Auth"); !slices.Equal(found, []string{auth}) {
					t.Errorf("%s: want X-Client-Auth: %s, found %q", r.target, auth, found)
				}
				return g.auditOf(t, headerValues(head, "X-Request-Id")[0])
			}
			bearer := func(target string) request {
				return plain("GET", target).with("X-SSL-Auth: " + c.header(certheader.Base64DER))
			}
			signed := func(target string) request { return c.sign(t, plain("GET", target), claim{}) }

			g.wantRefused(t, bearer("/signed"), refusal.ProofMissing)
			wantAuth(signed("/signed"), "signed")
			wantAuth(bearer("/off"), "bearer")
			wantAuth(signed("/off"), "bearer")

			if l := wantAuth(bearer("/seen"), "bearer"); l.WouldRefuse != string(refusal.ProofMissing) {
				t.Errorf("want would_refuse proof_missing, found %+v", l)
			}
			once := signed("/seen")
			if l := wantAuth(once, "signed"); l.WouldRefuse != "" || l.Auth != "signed" {
				t.Errorf("want a signed request, found %+v", l)
			}
			if l := wantAuth(once, "bearer"); l.WouldRefuse != string(refusal.ProofReplayed) {
				t.Errorf("want would_refuse proof_replayed, found %+v", l)
			}
			other := c.sign(t, plain("POST", "/seen").post("body"), claim{})
			other.body = "ydob"
			if l := wantAuth(other, "bearer"); l.WouldRefuse != string(refusal.ProofDigest) {
				t.Errorf("want would_refuse proof_digest, found %+v", l)
			}

			switch setting {
			case "require":
				g.wantRefused(t, bearer("/unsaid"), refusal.ProofMissing)
				wantAuth(signed("/unsaid"), "signed")
			case "observe":
				wantAuth(bearer("/unsaid"), "bearer")
				wantAuth(signed("/unsaid"), "signed")
			default:
				wantAuth(bearer("/unsaid"), "bearer")
				wantAuth(signed("/unsaid"), "bearer")
			}
		})
	}
}

// TestProofAtATrustedProxy: who has shaken hands with its key need not sign.
func TestProofAtATrustedProxy(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	g := newGateway(t, m, proving().with(environment{"AUTH_PROXY_HEADER": "Client-Cert", "TRUSTED_PROXIES": "127.0.0.1"}))
	c := m.newClient(t, subject("mail"))
	head := g.wantAllowed(t, plain("GET", "/events").with("Client-Cert: "+c.header(certheader.RFC9440)))
	if found := headerValues(head, "X-Client-Auth"); !slices.Equal(found, []string{"mtls"}) {
		t.Errorf("want X-Client-Auth: mtls, found %q", found)
	}
	g.wantRefused(t, get("/events", c.certificate), refusal.ProofMissing)
}

// TestProofOfTheService: a signature is for one service, whatever Host says on the
// way; without PUBLIC_AUTHORITY it is for the host that the request names.
func TestProofOfTheService(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	c := m.newClient(t, subject("mail"))
	signed := func(authority string) request {
		return c.sign(t, plain("GET", "/events"), claim{authority: authority})
	}
	t.Run("public", func(t *testing.T) {
		g := newGateway(t, m, environment{"AUTH_PROOF": "require", "PUBLIC_AUTHORITY": "Schedule.example.com:443, other.example:8443"})
		head := g.wantAllowed(t, signed("schedule.example.com"))
		// The service hears of the host that was signed for, not of the one on the way.
		if found := headerValues(head, "X-Forwarded-Host"); !slices.Equal(found, []string{"schedule.example.com"}) {
			t.Errorf("want X-Forwarded-Host: schedule.example.com, found %q", found)
		}
		g.wantRefused(t, signed("app.example"), refusal.ProofInvalid)
	})
	t.Run("host", func(t *testing.T) {
		g := newGateway(t, m, environment{"AUTH_PROOF": "require"})
		g.wantAllowed(t, signed("app.example"))
		g.wantRefused(t, signed("schedule.example.com"), refusal.ProofInvalid)
		// Said by nobody who is trusted.
		g.wantRefused(t, signed("schedule.example.com").with("X-Forwarded-Host: schedule.example.com"), refusal.ProofInvalid)
		if _, err := g.stderr.line(func(l string) bool { return strings.Contains(l, "PUBLIC_AUTHORITY") }); err != nil {
			t.Errorf("want a warning that names PUBLIC_AUTHORITY: %v", err)
		}
	})
	t.Run("trusted proxy", func(t *testing.T) {
		g := newGateway(t, m, environment{"AUTH_PROOF": "require", "TRUSTED_PROXIES": "127.0.0.1"})
		g.wantAllowed(t, signed("schedule.example.com").with("X-Forwarded-Host: schedule.example.com"))
	})
}

// TestProofOfAnotherHeader: with AUTH_HEADER that field has to be covered, and no other
// in its place.
func TestProofOfAnotherHeader(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	c := m.newClient(t, subject("mail"))
	g := newGateway(t, m, proving().with(environment{"AUTH_HEADER": "X-App-Cert"}))
	g.wantAllowed(t, c.sign(t, plain("GET", "/events"), claim{header: "X-App-Cert"}))
	other := c.sign(t, plain("GET", "/events"), claim{}).with("X-App-Cert: " + c.header(certheader.Base64DER))
	a := g.wantRefused(t, other, refusal.ProofIncomplete)
	if accept := a.header.Get("Accept-Signature"); !strings.Contains(accept, `"x-app-cert"`) {
		t.Errorf("want Accept-Signature to name the header, found %q", accept)
	}
}

// TestProofByLegacyRSA: rsa-v1_5-sha256 counts where the setting says so.
func TestProofByLegacyRSA(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "rsa")
	c := m.newClient(t, certificateOptions{subject: "/OU=mail", key: "rsa"})
	legacy := func() request { return c.sign(t, plain("GET", "/events"), claim{legacyRSA: true}) }
	g := newGateway(t, m, proving())
	g.wantRefused(t, legacy(), refusal.ProofInvalid)
	g = newGateway(t, m, proving().with(environment{"AUTH_PROOF_LEGACY_RSA": "true"}))
	g.wantAllowed(t, legacy())
	g.wantAllowed(t, c.sign(t, plain("GET", "/events"), claim{}))
}

// TestProofClock: the period ends to the second, with the leeway of AUTH_CLOCK_SKEW.
func TestProofClock(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	c := m.newClient(t, subject("mail"))
	g := newGateway(t, m, proving().with(environment{"AUTH_CLOCK_SKEW": "10m"})) // of which five minutes count
	at := func(created, lifetime time.Duration) request {
		return c.sign(t, plain("GET", "/events"), claim{created: time.Now().Add(created), lifetime: lifetime})
	}
	const leeway, moment = 5 * time.Minute, 45 * time.Second
	g.wantAllowed(t, at(0, 5*time.Minute))
	g.wantAllowed(t, at(-leeway-time.Minute+moment, time.Minute))
	g.wantRefused(t, at(-leeway-time.Minute-2*time.Second, time.Minute), refusal.ProofExpired)
	g.wantAllowed(t, at(leeway-2*time.Second, time.Minute))
	g.wantRefused(t, at(leeway+moment, time.Minute), refusal.ProofExpired)
}
