package deploy

import (
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/certgate/certgate/test/harness"
)

// situations drive each alert to fire, with the alerts that fire at the end. Each returns a
// history and the expected alerts.
var situations = map[string]func(t *testing.T) (*history, []string){
	"a gateway has ended": func(t *testing.T) (*history, []string) {
		t.Helper()
		g := startGateway(t, []authority{newAuthority(t, 100*day)}, nil)
		running := at(t, 10*time.Minute, g)
		g.Stop(t, harness.Terminate)
		ended := observation{5 * time.Minute, nil}
		h := newHistory([]string{instanceName(0)}, running, ended, ended.again(0))
		return h, []string{`CertgateDown{instance="gateway-0"}`}
	},
	"rules are broken": func(t *testing.T) (*history, []string) {
		t.Helper()
		rules := writeFile(t, "rules.yaml", allowsEvents)
		g := startGateway(t, []authority{newAuthority(t, 100*day)}, harness.Env{"ACCESS_RULES_FILE": rules})
		h := newChange(t, g, func() {
			replaceFile(t, rules, "rules: [")
			g.wait(t, "certgate_last_reload_failed", isPositive)
		})
		return h, []string{`CertgateReloadFailed{instance="gateway-0", source="rules"}`}
	},
	"a replica has other rules": func(t *testing.T) (*history, []string) {
		t.Helper()
		a := newAuthority(t, 100*day)
		one := startGateway(t, []authority{a}, nil)
		other := startGateway(t, []authority{a}, harness.Env{"ACCESS_RULES": strings.Replace(allowsEvents, "[mail, web]", "[mail]", 1)})
		o := at(t, 0, one, other)
		h := newHistory([]string{instanceName(0), instanceName(1)}, o.again(time.Hour), o)
		return h, []string{`CertgateReplicasDiffer{source="rules"}`}
	},
	"a denial was dropped": func(t *testing.T) (*history, []string) {
		t.Helper()
		rules := writeFile(t, "rules.yaml", allowsEvents+"deny:\n  - client: web\n  - client: social\n")
		g := startGateway(t, []authority{newAuthority(t, 100*day)}, harness.Env{"ACCESS_RULES_FILE": rules})
		h := newChange(t, g, func() {
			replaceFile(t, rules, allowsEvents+"deny:\n  - client: social\n")
			g.wait(t, "certgate_dropped_denials_total", isPositive)
		})
		return h, []string{`CertgateDenialsDropped{}`}
	},
	"a client's certificate expires": func(t *testing.T) (*history, []string) {
		t.Helper()
		a := newAuthority(t, 100*day)
		g := startGateway(t, []authority{a}, nil)
		g.send(t, 1, a.issue(t, "mail", 13*day), "/events", 200)
		g.send(t, 1, a.issue(t, "web", 15*day), "/events", 200)
		return newSteadyHistory(t, g), []string{`CertgateClientCertificateExpiring{client="mail"}`}
	},
	"a CA certificate expires": func(t *testing.T) (*history, []string) {
		t.Helper()
		a := newAuthority(t, 29*day)
		g := startGateway(t, []authority{a, newAuthority(t, 31*day)}, nil)
		return newSteadyHistory(t, g), []string{`CertgateAnchorExpiring{key_id="` + a.keyID(t) + `"}`}
	},
	"revocation lists are not renewed": func(t *testing.T) (*history, []string) {
		t.Helper()
		ending, outdated, current := newAuthority(t, 100*day), newAuthority(t, 100*day), newAuthority(t, 100*day)
		lists := writeFile(t, "lists.pem", ending.list(t, 5*time.Hour)+outdated.list(t, -time.Hour)+current.list(t, 7*time.Hour))
		g := startGateway(t, []authority{ending, outdated, current}, harness.Env{"AUTH_CRL_FILE": lists})
		return newSteadyHistory(t, g), []string{
			`CertgateRevocationListEnding{key_id="` + ending.keyID(t) + `"}`,
			`CertgateRevocationListOutdated{key_id="` + outdated.keyID(t) + `"}`,
		}
	},
	"the certificates for TLS to the service expire": func(t *testing.T) (*history, []string) {
		t.Helper()
		a := newAuthority(t, 100*day)
		url := startTLS(t, a, 13*day)
		certFile, keyFile := a.pair(t, 12*day)
		g := startGateway(t, []authority{a}, harness.Env{
			"UPSTREAM_URL": url, "UPSTREAM_CA_FILE": writeFile(t, "ca.pem", string(a.CertificatePEM())),
			"UPSTREAM_CERT_FILE": certFile, "UPSTREAM_KEY_FILE": keyFile,
		})
		g.send(t, 1, a.issue(t, "mail", 50*day), "/events", 200)
		return newSteadyHistory(t, g), []string{
			`CertgateUpstreamCertificateExpiring{role="client"}`,
			`CertgateUpstreamCertificateExpiring{role="service", upstream="` + strings.TrimPrefix(url, "https://") + `"}`,
		}
	},
	"a client is refused": func(t *testing.T) (*history, []string) {
		t.Helper()
		a := newAuthority(t, 100*day)
		g := startGateway(t, []authority{a}, nil)
		mail, web, rare := a.issue(t, "mail", 50*day), a.issue(t, "web", 50*day), a.issue(t, "rare", 50*day)
		for _, client := range []harness.Certificate{mail, web} {
			g.send(t, 1, client, "/events", 200)
			g.send(t, 1, client, "/admin", 403)
		}
		g.send(t, 1, rare, "/events", 403)
		start := at(t, day+time.Hour, g)
		for _, client := range []harness.Certificate{mail, web} {
			g.send(t, 40, client, "/events", 200)
			g.send(t, 10, client, "/admin", 403)
		}
		usual := at(t, 25*time.Minute, g)
		g.send(t, 40, mail, "/admin", 403) // four times its share
		g.send(t, 80, web, "/events", 200) // its usual share of more requests
		g.send(t, 30, web, "/admin", 403)
		g.send(t, 15, rare, "/events", 403) // too few to be sure
		h := newHistory([]string{instanceName(0)}, start, usual, at(t, 0, g))
		return h, []string{`CertgateClientRefusalsUnusual{client="mail"}`}
	},
	"the service is unreachable": func(t *testing.T) (*history, []string) {
		t.Helper()
		a := newAuthority(t, 100*day)
		address := harness.FreeAddress(t)
		g := startGateway(t, []authority{a}, harness.Env{"UPSTREAM_URL": "http://" + address})
		mail := a.issue(t, "mail", 50*day)
		h := newChange(t, g, func() {
			g.send(t, 5, mail, "/events", 502)
			g.wait(t, "certgate_upstream_up", isZero)
		})
		return h, []string{`CertgateUpstreamOut{instance="gateway-0", upstream="` + address + `"}`}
	},
	"all places and connections are taken": func(t *testing.T) (*history, []string) {
		t.Helper()
		a := newAuthority(t, 100*day)
		arrived, release := make(chan bool), make(chan bool)
		u := harness.NewUpstream(t, func(http.ResponseWriter, *http.Request) { arrived <- true; <-release })
		g := startGateway(t, []authority{a}, harness.Env{"UPSTREAM_URL": u.URL, "MAX_IN_FLIGHT": "1", "MAX_CONNECTIONS": "1"})
		mail := a.issue(t, "mail", 50*day)
		c := harness.Dial(t, g.Addr)
		c.Send(t, harness.Get("/events", mail).String())
		<-arrived
		h := newSteadyHistory(t, g)
		close(release)
		c.ReadResponse(t, "GET")
		return h, []string{
			`CertgateCapacityNearlyUsed{instance="gateway-0", listener="public", resource="connections"}`,
			`CertgateCapacityNearlyUsed{instance="gateway-0", resource="places at the upstream"}`,
		}
	},
	"the log is not read": func(t *testing.T) (*history, []string) {
		t.Helper()
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		g := startWithLog(t, newAuthority(t, 100*day), writer)
		h := newChange(t, g, func() {
			c := harness.Dial(t, g.Addr)
			for range 10_000 { // 1 MiB and the pipe
				c.Send(t, harness.PlainGet("/"+strings.Repeat("x", 250)).String())
				c.ReadResponse(t, "GET")
			}
			g.wait(t, "certgate_log_lines_lost_total", isPositive)
		})
		go func() { _, _ = io.Copy(io.Discard, reader) }() // so that the gateway can end
		return h, []string{`CertgateLogLinesLost{instance="gateway-0"}`}
	},
	"Redis has ended": func(t *testing.T) (*history, []string) {
		t.Helper()
		addr, redis := startRedis(t)
		a := newAuthority(t, 100*day)
		g := startGateway(t, []authority{a}, harness.Env{"AUTH_PROOF": "require", "REDIS_URL": "redis://" + addr})
		mail := a.issueSigner(t, "mail", 50*day)
		signed := func() harness.Response {
			return harness.Send(t, g.Addr, mail.Sign(t, harness.PlainGet("/events"), harness.SignatureOptions{}))
		}
		if r := signed(); r.Status != 200 {
			t.Fatalf("a signed request: want 200, found %d", r.Status)
		}
		h := newChange(t, g, func() {
			redis.Signal(t, syscall.SIGKILL)
			redis.WantExit(t, -1)
			for range 5 { // failures in a row
				if r := signed(); r.Status != 503 {
					t.Errorf("a signed request without Redis: want 503, found %d", r.Status)
				}
			}
			g.wait(t, "certgate_redis_up", isZero)
		})
		return h, []string{`CertgateRedisDown{instance="gateway-0"}`}
	},
	"an old key is unused": func(t *testing.T) (*history, []string) {
		t.Helper()
		r := newRotation(t)
		start := r.use(t, 7*day+2*time.Hour, r.ofOld, r.ofCurrent)
		h := newHistory([]string{instanceName(0)}, start, r.use(t, 0, r.ofCurrent))
		alerts := []string{
			`CertgateOldKeyUnused{key_id="` + r.old.keyID(t) + `"}`,
			`CertgateOldKeyUnused{key_id="` + r.never.keyID(t) + `"}`,
		}
		slices.Sort(alerts)
		return h, alerts
	},
	"an old key was used six days ago": func(t *testing.T) (*history, []string) {
		t.Helper()
		r := newRotation(t)
		start := r.use(t, 10*day, r.ofOld, r.ofCurrent, r.ofNever)
		middle := r.use(t, 6*day, r.ofOld, r.ofNever)
		return newHistory([]string{instanceName(0)}, start, middle, r.use(t, 0, r.ofCurrent)), nil
	},
	"an old key was used six days ago, before a restart": func(t *testing.T) (*history, []string) {
		t.Helper()
		r := newRotation(t)
		start := r.use(t, 10*day, r.ofOld, r.ofCurrent, r.ofNever)
		used := r.use(t, 6*day, r.ofOld, r.ofCurrent, r.ofNever)
		r.gateway = startGateway(t, nil, harness.Env{"AUTH_PUBLIC_KEY_FILE": r.keys})
		restarted := r.use(t, 3*day, r.ofCurrent)
		return newHistory([]string{instanceName(0)}, start, used, restarted, r.use(t, 0, r.ofCurrent)), nil
	},
	"an old key is used at one of two replicas": func(t *testing.T) (*history, []string) {
		t.Helper()
		r := newRotation(t)
		idle := startGateway(t, nil, harness.Env{"AUTH_PUBLIC_KEY_FILE": r.keys})
		r.use(t, 0, r.ofOld, r.ofCurrent, r.ofNever)
		start := at(t, 9*day, r.gateway, idle)
		r.use(t, 0, r.ofOld, r.ofCurrent, r.ofNever)
		return newHistory([]string{instanceName(0), instanceName(1)}, start, at(t, 0, r.gateway, idle)), nil
	},
	"an unused key has been observed for six days": func(t *testing.T) (*history, []string) {
		t.Helper()
		r := newRotation(t)
		start := r.use(t, 6*day, r.ofCurrent)
		return newHistory([]string{instanceName(0)}, start, r.use(t, 0, r.ofCurrent)), nil
	},
	"an old key was removed": func(t *testing.T) (*history, []string) {
		t.Helper()
		r := newRotation(t)
		start := r.use(t, 9*day, r.ofOld, r.ofCurrent, r.ofNever)
		used := r.use(t, 2*day, r.ofCurrent)
		replaceFile(t, r.keys, string(r.current.CertificatePEM()))
		r.wait(t, "certgate_anchor_certificate_not_after_timestamp_seconds", func(sum float64) bool {
			return sum == float64(r.current.Certificate.NotAfter.Unix()) // of the only key
		})
		removed := r.use(t, day, r.ofCurrent)
		return newHistory([]string{instanceName(0)}, start, used, removed, r.use(t, 0, r.ofCurrent)), nil
	},
	"no key is used": func(t *testing.T) (*history, []string) {
		t.Helper()
		r := newRotation(t)
		start := r.use(t, 9*day, r.ofOld, r.ofCurrent)
		return newHistory([]string{instanceName(0)}, start, start.again(0)), nil
	},
}
