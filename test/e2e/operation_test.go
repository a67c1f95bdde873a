package e2e

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// TestHealthCommand runs certgate health against a gateway, by URL and by LISTEN_ADDR.
func TestHealthCommand(t *testing.T) {
	t.Parallel()
	g := harness.NewGateway(t, harness.NewMasterKey(t, "p256"), nil)
	for _, test := range []struct {
		name string
		env  harness.Env
		args []string
		code int
	}{
		{"variable", harness.Env{"LISTEN_ADDR": g.Addr}, nil, 0},
		{"variable without a host", harness.Env{"LISTEN_ADDR": g.Addr[strings.LastIndexByte(g.Addr, ':'):]}, nil, 0},
		{"flag", nil, []string{"--url", "http://" + g.Addr + "/healthz"}, 0},
		{"not 200", nil, []string{"--url", "http://" + g.Addr + "/events"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := harness.Run(t, "certgate", test.env, append([]string{"health"}, test.args...)...)
			if result.ExitCode != test.code || (result.Stdout == "ok\n") != (test.code == 0) {
				t.Errorf("want exit code %d, found %+v", test.code, result)
			}
		})
	}
}

// TestDrain checks that SIGTERM ends no request that has begun, that open connections get a
// last response, and that new ones are refused.
func TestDrain(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	arrived, released := make(chan struct{}), make(chan struct{})
	arrive, release := sync.OnceFunc(func() { close(arrived) }), sync.OnceFunc(func() { close(released) })
	u := harness.NewUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		arrive()
		<-released
		_, _ = w.Write([]byte("finished"))
	})
	t.Cleanup(release)
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u))
	if a := harness.Send(t, g.Addr, harness.PlainGet("/healthz")); a.Status != 200 {
		t.Errorf("want health before the drain, found %d", a.Status)
	}
	if a := g.SendAdmin(t, harness.PlainGet("/readyz")); a.Status != 200 {
		t.Errorf("want readiness before the drain, found %d", a.Status)
	}

	inFlight, late := harness.Dial(t, g.Addr), harness.Dial(t, g.Addr)
	inFlight.Send(t, harness.Get("/events", mail).String())
	<-arrived
	probe := harness.Get("/events", mail).String()
	late.Send(t, probe[:10]) // a client that begins just now
	g.Signal(t, harness.Terminate)
	if _, err := g.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, `"msg":"draining"`) }); err != nil {
		t.Fatal(err)
	}
	wantRefusedConnection(t, g.Addr)
	late.Send(t, probe[10:])
	if a := g.SendAdmin(t, harness.PlainGet("/readyz")); a.Status != 503 || problemReason(t, a) != string(refusal.Draining) {
		t.Errorf("want the drain reported to the operator, found %d %s", a.Status, a.Body)
	}
	if a := g.SendAdmin(t, harness.PlainGet("/healthz")); a.Status != 200 {
		t.Errorf("want a live process during the drain, found %d", a.Status)
	}

	release()
	for name, c := range map[string]*harness.Conn{"in flight": inFlight, "late": late} {
		a := c.ReadResponse(t, "GET")
		if a.Status != 200 || a.Body != "finished" {
			t.Errorf("%s: want the request finished, found %d %q", name, a.Status, a.Body)
		}
		c.WantClosed(t)
	}
	g.WantExit(t, 0)
}

// problemReason returns the reason of a problem document of the admin port, which has more fields.
func problemReason(t *testing.T, a harness.Response) string {
	t.Helper()
	var p struct{ Reason string }
	if err := json.Unmarshal([]byte(a.Body), &p); err != nil {
		t.Fatal(err)
	}
	return p.Reason
}

// wantRefusedConnection dials until the port is closed.
func wantRefusedConnection(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(harness.Timeout); time.Now().Before(deadline); {
		c, err := net.DialTimeout("tcp", addr, harness.Timeout)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			_ = c.Close()
		}
	}
	t.Error("want new connections refused, found them taken")
}

// TestShutdownDelay checks that during SHUTDOWN_DELAY health checks fail and requests are
// served, and that further signals end the delay and the drain.
func TestShutdownDelay(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	arrived := make(chan struct{}, 1)
	u := harness.NewUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/events/1" {
			return
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"SHUTDOWN_DELAY": "1h", "SHUTDOWN_TIMEOUT": "1h"}))
	wantLine := func(message string) {
		t.Helper()
		if _, err := g.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, message) }); err != nil {
			t.Fatalf("want %s logged: %v", message, err)
		}
	}
	g.Signal(t, harness.Terminate)
	wantLine(`"msg":"stopping: `)
	for target, a := range map[string]harness.Response{
		"/healthz": harness.Send(t, g.Addr, harness.PlainGet("/healthz")),
		"/readyz":  g.SendAdmin(t, harness.PlainGet("/readyz")),
	} {
		if a.Status != 503 || problemReason(t, a) != string(refusal.Draining) {
			t.Errorf("%s: want 503 during the delay, found %d %s", target, a.Status, a.Body)
		}
	}
	g.WantAllowed(t, harness.Get("/events", mail))
	hanging := harness.Dial(t, g.Addr)
	hanging.Send(t, harness.Get("/events/1", mail).String())
	<-arrived
	g.Signal(t, harness.Terminate)
	wantLine(`"msg":"draining"`)
	wantRefusedConnection(t, g.Addr)
	g.Signal(t, harness.Terminate)
	g.WantExit(t, -1) // by the signal
}

// TestDrainTimeout checks that a request that does not end is cut after SHUTDOWN_TIMEOUT,
// with exit code 1.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	arrived := make(chan struct{})
	u := harness.NewUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"SHUTDOWN_TIMEOUT": "100ms"}))
	c := harness.Dial(t, g.Addr)
	c.Send(t, harness.Get("/events", mail).String())
	<-arrived
	g.Signal(t, harness.Terminate)
	g.WantExit(t, 1)
	c.WantClosed(t)
}

// TestSIGINTStops checks that SIGINT stops the gateway as SIGTERM does.
func TestSIGINTStops(t *testing.T) {
	t.Parallel()
	harness.NewGateway(t, harness.NewMasterKey(t, "p256"), nil).Stop(t, syscall.SIGINT)
}

// TestAdminPort checks readiness and metrics on the admin port, and that the public port
// serves neither.
func TestAdminPort(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	g := harness.NewGateway(t, m, nil)
	for range 3 {
		g.WantAllowed(t, harness.Get("/events", mail))
	}
	g.WantRefused(t, harness.PlainGet("/events"), refusal.CredentialMissing)

	for target, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/events": 404} {
		if a := g.SendAdmin(t, harness.PlainGet(target)); a.Status != want {
			t.Errorf("%s: want %d, found %d", target, want, a.Status)
		}
	}
	for _, target := range []string{"/readyz", "/metrics", "/loglevel"} {
		g.WantRefused(t, harness.PlainGet(target), refusal.CredentialMissing) // at the public port it is the upstream's
	}

	families := metrics(t, g)
	for _, test := range []struct {
		family string
		labels map[string]string
		want   float64
	}{
		{"certgate_requests_total", map[string]string{"decision": "allowed", "reason": ""}, 3},
		{"certgate_requests_total", map[string]string{"decision": "refused", "reason": "credential_missing"}, 4},
		{"certgate_client_requests_total", map[string]string{"client": "mail", "rule": "everybody"}, 3},
	} {
		if found := counter(families[test.family], test.labels); found != test.want {
			t.Errorf("%s %v: want %v, found %v", test.family, test.labels, test.want, found)
		}
	}
}

// metrics parses the whole page, so every line of it must be well formed.
func metrics(t *testing.T, g *harness.Gateway) map[string]*dto.MetricFamily {
	t.Helper()
	a := g.SendAdmin(t, harness.PlainGet("/metrics"))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.Body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// counter returns the value of the counter or gauge with exactly these labels. It returns -1 if
// the family has no such metric.
func counter(family *dto.MetricFamily, labels map[string]string) float64 {
	for _, m := range family.GetMetric() {
		same := len(m.GetLabel()) == len(labels)
		for _, l := range m.GetLabel() {
			value, known := labels[l.GetName()]
			same = same && known && value == l.GetValue()
		}
		if same {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() // it is one of them
		}
	}
	return -1
}

// TestUnverifiedInputCreatesNoMetrics checks that no value of an unverified request becomes
// a label.
func TestUnverifiedInputCreatesNoMetrics(t *testing.T) {
	t.Parallel()
	m, otherKey := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, nil)
	harness.Send(t, g.Addr, harness.PlainGet("/events"))
	before := len(seriesOf(t, g))
	for _, ou := range []string{"one", "two", "three"} {
		g.WantRefused(t, harness.Get("/"+ou, otherKey.Issue(t, harness.OU(ou))), refusal.CertificateUntrusted)
		g.WantRefused(t, harness.Request{Method: "X" + ou, Target: "/" + ou}, refusal.CredentialMissing)
	}
	series := seriesOf(t, g)
	if len(series) != before {
		t.Errorf("want %d series as before, found %d", before, len(series))
	}
	if text := strings.Join(series, "\n"); strings.Contains(text, "three") {
		t.Error("want no unverified value in a metric, found one")
	}
}

func seriesOf(t *testing.T, g *harness.Gateway) []string {
	t.Helper()
	var list []string
	for name, family := range metrics(t, g) {
		if strings.HasPrefix(name, "certgate_") {
			for _, m := range family.GetMetric() {
				list = append(list, name+m.String())
			}
		}
	}
	return list
}

// TestAdminPortOff checks that an empty ADMIN_ADDR turns the admin port off.
func TestAdminPortOff(t *testing.T) {
	t.Parallel()
	g := harness.NewGateway(t, harness.NewMasterKey(t, "p256"), harness.Env{"ADMIN_ADDR": ""})
	if g.Admin != "" {
		t.Errorf("want no operator's port, found %s", g.Admin)
	}
	if a := harness.Send(t, g.Addr, harness.PlainGet("/healthz")); a.Status != 200 {
		t.Errorf("want 200, found %d", a.Status)
	}
}

// TestUpstreamUnreachable forwards to an address on which no process listens.
func TestUpstreamUnreachable(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	mail := m.Issue(t, harness.OU("mail"))
	u := harness.NewUpstream(t, nil)
	g := harness.StartGateway(t, u, harness.GatewayEnv(m.PublicKey, u).With(harness.Env{"UPSTREAM_URL": "http://127.0.0.1:1"}))
	a := g.WantRefused(t, harness.Get("/events", mail), refusal.UpstreamFailed)
	if line := g.AuditLineOf(t, a.Problem(t).RequestID); line.Level != "error" || line.Client != "mail" {
		t.Errorf("want an operator's error, found %+v", line)
	}
	if strings.Contains(a.Body, "127.0.0.1") {
		t.Error("want the upstream's address in the log only")
	}
}
