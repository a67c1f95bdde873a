package proxies

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// twoGateways are two gateways with a service each, behind one real proxy.
type twoGateways struct {
	*proxiedGateway
	checks   bool // whether the proxy checks /healthz
	env      [2]harness.Env
	gateways [2]*harness.Gateway

	mu      sync.Mutex
	served  [2]int         // requests that each service has received
	arrived map[string]int // how often each request has arrived, by its X-Load
}

// newTwoGateways starts the gateways and the proxy of a file. often is the documented time
// between two health checks and a shorter one; without it the proxy does not check /healthz.
func newTwoGateways(t *testing.T, c *credentials, file string, often []string) *twoGateways {
	t.Helper()
	checks := often != nil
	program, _, _ := strings.Cut(file, "-")
	harness.LookProgram(t, proxyCommands()[program].name)
	p := &twoGateways{proxiedGateway: &proxiedGateway{credentials: c}, checks: checks, arrived: map[string]int{}}
	values := maps.Clone(c.files)
	for i, name := range []string{"GATEWAY_A", "GATEWAY_B"} {
		u := harness.NewUpstream(t, func(_ http.ResponseWriter, r *http.Request) { p.count(i, r.Header.Get("X-Load")) })
		// An address that no other test takes while the gateway is away.
		p.env[i] = harness.GatewayEnv(c.clients.PublicKey, u).With(harness.Env{"LISTEN_ADDR": harness.FreeAddress(t), "TRUSTED_PROXIES": "127.0.0.1/32"})
		if checks {
			p.env[i]["SHUTDOWN_DELAY"] = "1h" // until the second signal
		}
		p.serve(t, u, i)
		values[name] = p.gateways[i].Addr
		values[name+"_HOST"], values[name+"_PORT"], _ = strings.Cut(p.gateways[i].Addr, ":")
	}
	o := proxyOptions{file: file, values: values}
	if checks {
		o.edit = strings.NewReplacer(often...).Replace
	}
	p.addr = startProxy(t, o).addr
	return p
}

// serve starts a gateway. When the test ends, a first signal starts its SHUTDOWN_DELAY;
// the one of every process ends the delay.
func (p *twoGateways) serve(t *testing.T, u *harness.Upstream, i int) {
	t.Helper()
	g := harness.StartGateway(t, u, p.env[i])
	p.gateways[i] = g
	t.Cleanup(func() {
		if p.checks && !g.ExitSeen {
			p.beginDelay(t, g)
		}
	})
}

// beginDelay sends the signal that starts the SHUTDOWN_DELAY. A second signal that came
// before the gateway has seen the first one would be lost.
func (p *twoGateways) beginDelay(t *testing.T, g *harness.Gateway) {
	t.Helper()
	g.Signal(t, harness.Terminate)
	if _, err := g.Stderr.WaitLine(func(line string) bool { return strings.Contains(line, `"msg":"stopping: `) }); err != nil {
		t.Errorf("want the gateway to begin SHUTDOWN_DELAY: %v", err)
	}
}

func (p *twoGateways) count(i int, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served[i]++
	p.arrived[id]++
}

func (p *twoGateways) servedBy() [2]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served
}

// restart restarts a gateway, while the load goes on, and returns when it is ready. A
// proxy that checks /healthz must also have noticed, because it does not use the gateway
// before.
func (p *twoGateways) restart(t *testing.T, l *steadyLoad, i int) {
	t.Helper()
	g, other := p.gateways[i], 1-i
	if p.checks {
		p.beginDelay(t, g)
		p.waitForOnly(t, l, other)
	}
	g.Signal(t, harness.Terminate)
	g.WantExit(t, 0)
	l.waitFor(t, "requests while one gateway is away", p.servedMore(other))
	p.serve(t, g.Upstream, i)
	if p.checks {
		l.waitFor(t, "requests at the gateway that is back", p.servedMore(i))
	}
}

// enough is a number of requests after which a proxy that still uses both gateways would
// have used both.
const enough = 100

// servedMore returns a condition that is true once a gateway has served more requests.
func (p *twoGateways) servedMore(i int) func() bool {
	before := p.servedBy()[i]
	return func() bool { return p.servedBy()[i] >= before+enough }
}

func (p *twoGateways) waitForBoth(t *testing.T, l *steadyLoad) {
	t.Helper()
	for i := range p.gateways {
		l.waitFor(t, "requests at gateway "+strconv.Itoa(i), p.servedMore(i))
	}
}

// waitForOnly waits until the proxy sends requests to one of the gateways only.
func (p *twoGateways) waitForOnly(t *testing.T, l *steadyLoad, i int) {
	t.Helper()
	before := p.servedBy()
	l.waitFor(t, "requests at one gateway only", func() bool {
		now := p.servedBy()
		if now[1-i] != before[1-i] {
			before = now
		}
		return now[i] >= before[i]+enough
	})
}

// TestRestartBehindProxies restarts both gateways behind a proxy in turn, while requests
// come in: none is lost, and no POST arrives twice.
func TestRestartBehindProxies(t *testing.T) {
	t.Parallel()
	c := newCredentials(t)
	for file, often := range map[string][]string{
		"nginx-two-gateways.conf": nil, "haproxy-two-gateways.cfg": {"inter 1s", "inter 100ms"}, "envoy-two-gateways.yaml": {"interval: 1s", "interval: 0.1s"},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			p := newTwoGateways(t, c, file, often)
			l := p.startLoad(t)
			p.waitForBoth(t, l)
			for i := range p.gateways {
				p.restart(t, l, i)
			}
			p.waitForBoth(t, l)
			l.end()
			if err := l.failed(); err != nil {
				t.Errorf("want no request lost, found %v", err)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, sent := range l.sent {
				method, id, _ := strings.Cut(sent, " ")
				if n := p.arrived[id]; n != 1 && (method == http.MethodPost || n == 0) {
					t.Errorf("%s: want it to arrive once, found it %d times", sent, n)
				}
			}
			t.Logf("%d requests, served by %v", len(l.sent), p.served)
		})
	}
}
