package test

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
)

func plainGet(target string) request { return request{method: "GET", target: target} }

// TestHealthCommand asks a real gateway, by URL and by LISTEN_ADDR.
func TestHealthCommand(t *testing.T) {
	t.Parallel()
	g := newGateway(t, newMaster(t, "p256"), nil)
	for _, test := range []struct {
		name string
		env  environment
		args []string
		code int
	}{
		{"variable", environment{"LISTEN_ADDR": g.addr}, nil, 0},
		{"variable without a host", environment{"LISTEN_ADDR": g.addr[strings.LastIndexByte(g.addr, ':'):]}, nil, 0},
		{"flag", nil, []string{"--url", "http://" + g.addr + "/healthz"}, 0},
		{"not 200", nil, []string{"--url", "http://" + g.addr + "/events"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := finish(t, "certgate", test.env, append([]string{"health"}, test.args...)...)
			if result.code != test.code || (result.stdout == "ok\n") != (test.code == 0) {
				t.Errorf("want exit code %d, found %+v", test.code, result)
			}
		})
	}
}

// TestDrain: SIGTERM ends nothing that has begun. Who is connected already gets
// an answer, the last on that connection; nobody else gets in.
func TestDrain(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	arrived, released := make(chan struct{}), make(chan struct{})
	arrive, release := sync.OnceFunc(func() { close(arrived) }), sync.OnceFunc(func() { close(released) })
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		arrive()
		<-released
		_, _ = w.Write([]byte("finished"))
	})
	t.Cleanup(release)
	g := serve(t, u, settings(m.publicKey, u))
	if a := send(t, g.addr, plainGet("/healthz")); a.status != 200 {
		t.Errorf("want health before the drain, found %d", a.status)
	}
	if a := send(t, g.admin, plainGet("/readyz")); a.status != 200 {
		t.Errorf("want readiness before the drain, found %d", a.status)
	}

	inFlight, late := dial(t, g.addr), dial(t, g.addr)
	inFlight.write(t, get("/events", mail).String())
	<-arrived
	probe := get("/events", mail).String()
	late.write(t, probe[:10]) // a client that begins just now
	g.signal(t, terminate)
	if _, err := g.stderr.line(func(line string) bool { return strings.Contains(line, `"msg":"draining"`) }); err != nil {
		t.Fatal(err)
	}
	wantRefusedConnection(t, g.addr)
	late.write(t, probe[10:])
	if a := send(t, g.admin, plainGet("/readyz")); a.status != 503 || a.problemReason(t) != string(refusal.Draining) {
		t.Errorf("want the operator told of the drain, found %d %s", a.status, a.body)
	}
	if a := send(t, g.admin, plainGet("/healthz")); a.status != 200 {
		t.Errorf("want a live process during the drain, found %d", a.status)
	}

	release()
	for name, c := range map[string]*connection{"in flight": inFlight, "late": late} {
		a := c.read(t, "GET")
		if a.status != 200 || a.body != "finished" {
			t.Errorf("%s: want the request finished, found %d %q", name, a.status, a.body)
		}
		c.wantClosed(t)
	}
	g.wantExit(t, 0)
}

// problemReason is the reason of an operator's problem, which says more.
func (a answer) problemReason(t *testing.T) string {
	t.Helper()
	var p struct{ Reason string }
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatal(err)
	}
	return p.Reason
}

// wantRefusedConnection dials until nobody listens any more.
func wantRefusedConnection(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		c, err := net.DialTimeout("tcp", addr, patience)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			_ = c.Close()
		}
	}
	t.Error("want new connections refused, found them taken")
}

// TestShutdownDelay: during the delay health checks fail and requests are
// answered; the second signal ends the delay and the third the drain.
func TestShutdownDelay(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	arrived := make(chan struct{}, 1)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/events/1" {
			return
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	g := serve(t, u, settings(m.publicKey, u).with(environment{"SHUTDOWN_DELAY": "1h", "SHUTDOWN_TIMEOUT": "1h"}))
	wantLine := func(message string) {
		t.Helper()
		if _, err := g.stderr.line(func(line string) bool { return strings.Contains(line, message) }); err != nil {
			t.Fatalf("want %s logged: %v", message, err)
		}
	}
	g.signal(t, terminate)
	wantLine(`"msg":"stopping: `)
	for addr, target := range map[string]string{g.addr: "/healthz", g.admin: "/readyz"} {
		if a := send(t, addr, plainGet(target)); a.status != 503 || a.problemReason(t) != string(refusal.Draining) {
			t.Errorf("%s: want 503 during the delay, found %d %s", target, a.status, a.body)
		}
	}
	g.wantAllowed(t, get("/events", mail))
	hanging := dial(t, g.addr)
	hanging.write(t, get("/events/1", mail).String())
	<-arrived
	g.signal(t, terminate)
	wantLine(`"msg":"draining"`)
	wantRefusedConnection(t, g.addr)
	g.signal(t, terminate)
	g.wantExit(t, -1) // by the signal
}

// TestDrainEnds: a request that does not end is cut after SHUTDOWN_TIMEOUT, and
// the exit code says so.
func TestDrainEnds(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	arrived := make(chan struct{})
	u := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	g := serve(t, u, settings(m.publicKey, u).with(environment{"SHUTDOWN_TIMEOUT": "100ms"}))
	c := dial(t, g.addr)
	c.write(t, get("/events", mail).String())
	<-arrived
	g.signal(t, terminate)
	g.wantExit(t, 1)
	c.wantClosed(t)
}

// TestInterrupt: Ctrl-C is as good as SIGTERM.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	newGateway(t, newMaster(t, "p256"), nil).stop(t, syscall.SIGINT)
}

// TestOperatorsPort: what the operator sees is true, and on that port alone.
func TestOperatorsPort(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	for range 3 {
		g.wantAllowed(t, get("/events", mail))
	}
	g.wantRefused(t, plainGet("/events"), refusal.CredentialMissing)

	for target, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/events": 404} {
		if a := send(t, g.admin, plainGet(target)); a.status != want {
			t.Errorf("%s: want %d, found %d", target, want, a.status)
		}
	}
	for _, target := range []string{"/readyz", "/metrics", "/loglevel"} {
		g.wantRefused(t, plainGet(target), refusal.CredentialMissing) // at the public port it is the upstream's
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
func metrics(t *testing.T, g *gateway) map[string]*dto.MetricFamily {
	t.Helper()
	a := send(t, g.admin, plainGet("/metrics"))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// counter is the value, a gauge's too, of the series with exactly these labels, -1 for none.
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

// TestUnverifiedInputMakesNoSeries: what strangers send labels no metric.
func TestUnverifiedInputMakesNoSeries(t *testing.T) {
	t.Parallel()
	m, stranger := newMaster(t, "p256"), newMaster(t, "p256")
	g := newGateway(t, m, nil)
	send(t, g.addr, plainGet("/events"))
	before := len(seriesOf(t, g))
	for _, ou := range []string{"one", "two", "three"} {
		g.wantRefused(t, get("/"+ou, stranger.issue(t, subject(ou))), refusal.CertificateUntrusted)
		g.wantRefused(t, request{method: "X" + ou, target: "/" + ou}, refusal.CredentialMissing)
	}
	series := seriesOf(t, g)
	if len(series) != before {
		t.Errorf("want %d series as before, found %d", before, len(series))
	}
	if text := strings.Join(series, "\n"); strings.Contains(text, "three") {
		t.Error("want no stranger's word in a metric, found one")
	}
}

func seriesOf(t *testing.T, g *gateway) []string {
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

// TestNoOperatorsPort: an empty ADMIN_ADDR turns it off.
func TestNoOperatorsPort(t *testing.T) {
	t.Parallel()
	g := newGateway(t, newMaster(t, "p256"), environment{"ADMIN_ADDR": ""})
	if g.admin != "" {
		t.Errorf("want no operator's port, found %s", g.admin)
	}
	if a := send(t, g.addr, plainGet("/healthz")); a.status != 200 {
		t.Errorf("want 200, found %d", a.status)
	}
}

// TestUpstreamIsNotThere: nothing listens behind the gateway.
func TestUpstreamIsNotThere(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	u := newUpstream(t, nil)
	g := serve(t, u, settings(m.publicKey, u).with(environment{"UPSTREAM_URL": "http://127.0.0.1:1"}))
	a := g.wantRefused(t, get("/events", mail), refusal.UpstreamFailed)
	if line := g.auditOf(t, a.problem(t).RequestID); line.Level != "error" || line.Client != "mail" {
		t.Errorf("want an operator's error, found %+v", line)
	}
	if strings.Contains(a.body, "127.0.0.1") {
		t.Error("want the upstream's address in the log only")
	}
}
