package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// worstExposure is the score of systemd-analyze security that the unit may have,
// in tenths: 0 is a program without any privilege, 100 one without any restriction.
// The rest of the score is the network access that a gateway needs.
const worstExposure = 10

// units are copies of the units that start the tested binary.
func units(t *testing.T) (service, socket string) {
	t.Helper()
	const installed = "/usr/local/bin/certgate"
	dir, text := t.TempDir(), readDeployed(t, "systemd", "certgate.service")
	if strings.Count(text, installed) != 1 {
		t.Fatalf("want %s once in the unit", installed)
	}
	text = strings.Replace(text, installed, harness.BinaryPath(t, "certgate"), 1)
	return harness.WriteFile(t, text, dir, "certgate.service"), harness.WriteFile(t, readDeployed(t, "systemd", "certgate.socket"), dir, "certgate.socket")
}

// TestSystemdUnitsVerify checks that systemd-analyze verify reports nothing.
func TestSystemdUnitsVerify(t *testing.T) {
	t.Parallel()
	analyze := harness.LookProgram(t, "systemd-analyze")
	service, socket := units(t)
	verify := func() harness.Result {
		return harness.RunProgram(t, analyze, nil, "verify", "--man=no", service, socket)
	}
	if result := verify(); result.ExitCode != 0 || result.Stdout+result.Stderr != "" {
		t.Errorf("want no output, found %+v", result)
	}
	replaceFile(t, service, strings.Replace(readDeployed(t, "systemd", "certgate.service"), "ProtectSystem=", "ProtectSytem=", 1))
	if result := verify(); !strings.Contains(result.Stderr, "ProtectSytem") {
		t.Errorf("want a misspelt setting named, found %+v", result)
	}
}

// TestSystemdUnitIsHardened checks the exposure score of systemd-analyze security.
func TestSystemdUnitIsHardened(t *testing.T) {
	t.Parallel()
	analyze := harness.LookProgram(t, "systemd-analyze")
	service, _ := units(t)
	result := harness.RunProgram(t, analyze, nil, "security", "--no-pager", "--offline=true", "--threshold="+strconv.Itoa(worstExposure), service)
	if result.ExitCode != 0 {
		t.Errorf("want an exposure of at most %d tenths, found\n%s", worstExposure, result.Stdout)
	}
}

var (
	systemCall = regexp.MustCompile(`(?m)^(?:\d+ +)?([a-z_0-9]+)\(`)
	domain     = regexp.MustCompile(`\bsocket\((\w+)`)
	setting    = regexp.MustCompile(`(?m)^(\w+)=(.*)$`)
)

// unitSettings returns the values of one setting, in the order of the file.
func unitSettings(t *testing.T, name string) []string {
	t.Helper()
	var values []string
	for _, m := range setting.FindAllStringSubmatch(readDeployed(t, "systemd", "certgate.service"), -1) {
		if m[1] == name {
			values = append(values, m[2])
		}
	}
	if len(values) == 0 {
		t.Fatalf("want %s in the unit, found none", name)
	}
	return values
}

// callsOf expands systemd's groups of system calls.
func callsOf(t *testing.T, analyze string, names []string) map[string]bool {
	t.Helper()
	calls := map[string]bool{}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if !strings.HasPrefix(name, "@") {
			calls[name] = true
			continue
		}
		for line := range strings.Lines(harness.RunProgram(t, analyze, nil, "syscall-filter", "--no-pager", name).Stdout) {
			// The group's own name comes first, and its description is a comment.
			if line = strings.TrimSpace(line); line != "" && line != name && !strings.HasPrefix(line, "#") {
				names = append(names, line)
			}
		}
	}
	return calls
}

// permitted returns the system calls of the unit's filter.
func permitted(t *testing.T, analyze string) map[string]bool {
	t.Helper()
	var taken, refused []string
	for _, value := range unitSettings(t, "SystemCallFilter") {
		if list, inverted := strings.CutPrefix(value, "~"); inverted {
			refused = append(refused, strings.Fields(list)...)
		} else {
			taken = append(taken, strings.Fields(value)...)
		}
	}
	calls := callsOf(t, analyze, taken)
	for name := range callsOf(t, analyze, refused) {
		delete(calls, name)
	}
	return calls
}

// traced returns the system calls of a gateway that starts, verifies, forwards to a host name,
// refuses, reloads and drains.
func traced(t *testing.T) string {
	t.Helper()
	strace := harness.LookProgram(t, "strace")
	if harness.RaceDetector() {
		t.Skip("the race detector makes system calls of its own")
	}
	log := filepath.Join(t.TempDir(), "strace")
	if err := exec.CommandContext(t.Context(), strace, "-o", log, "true").Run(); err != nil {
		t.Skipf("strace may not trace here: %v", err)
	}
	m := harness.NewMasterKey(t, "p256")
	u := harness.NewUpstream(t, nil)
	file := harness.WriteFile(t, m.PublicKey, t.TempDir(), "master.pub")
	env := harness.GatewayEnv("", u).Without("AUTH_PUBLIC_KEY").With(harness.Env{
		"AUTH_PUBLIC_KEY_FILE": file, "UPSTREAM_URL": strings.Replace(u.URL, "127.0.0.1", "localhost", 1),
	})
	// With -D the process of this test is the gateway, and strace a child of it that
	// ends with it: signals arrive.
	p := harness.StartCommand(t, "certgate", env, exec.Command(strace, "-D", "-f", "-o", log, harness.BinaryPath(t, "certgate"), "serve"))
	l := p.WaitListening(t)
	g := &harness.Gateway{Process: p, Addr: l.Addr, Admin: l.AdminAddr, Authz: harness.AuthzAddrs{HTTP: l.AuthzAddr, GRPC: l.GRPCAddr}, Upstream: u}
	waitWatching(t, g, "keys")
	g.WantAllowed(t, harness.Get("/events", m.Issue(t, harness.OU("mail"))))
	if a := harness.Send(t, g.Addr, harness.PlainGet("/events")); a.Status != 401 {
		t.Errorf("want 401, found %d", a.Status)
	}
	wantReloaded(t, g, "keys", func() { replaceFile(t, file, m.PublicKey+"\n") })
	if a := g.SendAdmin(t, harness.PlainGet("/metrics")); a.Status != 200 {
		t.Errorf("want metrics, found %d", a.Status)
	}
	g.Stop(t, harness.Terminate)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSystemdSandboxAllowsGateway checks with strace that the gateway makes no system call
// that the unit forbids.
func TestSystemdSandboxAllowsGateway(t *testing.T) {
	t.Parallel()
	analyze := harness.LookProgram(t, "systemd-analyze")
	calls, trace := permitted(t, analyze), traced(t)
	seen := map[string]bool{}
	for _, m := range systemCall.FindAllStringSubmatch(trace, -1) {
		seen[m[1]] = true
	}
	if len(seen) < 20 || len(calls) < 100 || calls["setrlimit"] || !calls["read"] {
		t.Fatalf("want a trace and a filter, found %d calls and %d permitted", len(seen), len(calls))
	}
	for name := range seen {
		if !calls[name] {
			t.Errorf("the gateway calls %s, want it in SystemCallFilter", name)
		}
	}
	families := strings.Fields(unitSettings(t, "RestrictAddressFamilies")[0])
	for _, m := range domain.FindAllStringSubmatch(trace, -1) {
		if !slices.Contains(families, m[1]) {
			t.Errorf("the gateway opens a socket of %s, want one of %v", m[1], families)
		}
	}
	for line := range strings.Lines(trace) {
		if strings.Contains(line, "PROT_WRITE|PROT_EXEC") {
			t.Errorf("want no memory to write and execute, found %s", line)
		}
	}
}

// TestSystemdUnitLimits checks that the unit's limits are wider than certgate's own.
func TestSystemdUnitLimits(t *testing.T) {
	t.Parallel()
	number := func(text string) int {
		n, err := strconv.Atoi(strings.TrimSuffix(text, "s"))
		if err != nil {
			t.Error(err)
		}
		return n
	}
	stop, drain := number(unitSettings(t, "TimeoutStopSec")[0]), number(variableDefault(t, "SHUTDOWN_TIMEOUT"))
	delay := number(unitEnvironment(t)["SHUTDOWN_DELAY"])
	if delay < 5 || stop < delay+drain+5 {
		t.Errorf("want %d seconds to stop to hold SHUTDOWN_DELAY %d, SHUTDOWN_TIMEOUT %d and 5", stop, delay, drain)
	}
	files := number(unitSettings(t, "LimitNOFILE")[0])
	if least := number(variableDefault(t, "MAX_CONNECTIONS")) + number(variableDefault(t, "MAX_IN_FLIGHT")); files < 2*least {
		t.Errorf("want files for twice %d connections, found %d", least, files)
	}
}

// TestSystemdAgentUnit verifies the agent's unit, checks its score and runs its command
// line.
func TestSystemdAgentUnit(t *testing.T) {
	t.Parallel()
	const worst = 11 // tenths: the gateway may be anywhere, and the socket is one
	analyze := harness.LookProgram(t, "systemd-analyze")
	text := readDeployed(t, "systemd", "certgate-agent@.service")
	unit := harness.WriteFile(t, strings.Replace(text, "/usr/local/bin/certgate", harness.BinaryPath(t, "certgate"), 1), t.TempDir(), "certgate-agent@daemon.service")
	if result := harness.RunProgram(t, analyze, nil, "verify", "--man=no", unit); result.ExitCode != 0 || result.Stdout+result.Stderr != "" {
		t.Errorf("want no output, found %+v", result)
	}
	if result := harness.RunProgram(t, analyze, nil, "security", "--no-pager", "--offline=true", "--threshold="+strconv.Itoa(worst), unit); result.ExitCode != 0 {
		t.Errorf("want an exposure of at most %d tenths, found\n%s", worst, result.Stdout)
	}
	_, command, _ := strings.Cut(text, "\nExecStart=/usr/local/bin/certgate ")
	command, _, _ = strings.Cut(command, "\n")
	m := harness.NewMasterKey(t, "p256")
	g := harness.NewGateway(t, m, harness.SignatureRequiredOnAddress())
	mail := m.NewCredentialFiles(t, harness.OU("mail"))
	dir := filepath.Dir(mail.Cert)
	command = strings.NewReplacer("/etc/certgate-agent", dir, "/run/certgate-agent-%i", dir, "%i", "mail", "${TO}", "http://"+g.Addr).Replace(command)
	harness.Start(t, "certgate", nil, strings.Fields(command)...).WaitListening(t)
	if status, body := harness.Curl(t, "--unix-socket", filepath.Join(dir, "agent.sock"), "http://localhost/events"); status != 200 {
		t.Errorf("want 200, found %d and %s", status, body)
	}
}
