package deploy

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// compose loads the file as docker compose does, including the check of its schema.
func compose(t *testing.T, environment ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(artefacts, "compose.yaml")}, cli.WithEnv(environment))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

// TestComposeRequiresAKey checks that compose refuses to start without a key, with an error that says so.
func TestComposeRequiresAKey(t *testing.T) {
	if _, err := compose(t); err == nil || !strings.Contains(err.Error(), "AUTH_PUBLIC_KEY") {
		t.Errorf("want AUTH_PUBLIC_KEY missing, found %v", err)
	}
}

// TestComposeIsHardened checks the security settings of every container after YAML merges.
func TestComposeIsHardened(t *testing.T) {
	project, err := compose(t, "AUTH_PUBLIC_KEY=the\nkey")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range project.Services {
		if !s.ReadOnly || s.Privileged || s.User != "65532:65532" || len(s.CapAdd) != 0 {
			t.Errorf("%s: want a user without rights over a root to read, found user %q", name, s.User)
		}
		if strings.Join(s.CapDrop, " ") != "ALL" || strings.Join(s.SecurityOpt, " ") != "no-new-privileges:true" {
			t.Errorf("%s: want no capabilities and no new ones, found %q and %q", name, s.CapDrop, s.SecurityOpt)
		}
		if s.MemLimit == 0 || s.PidsLimit == 0 {
			t.Errorf("%s: want limits", name)
		}
		// Docker kills after 10 seconds, before SHUTDOWN_TIMEOUT.
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 35*time.Second {
			t.Errorf("%s: want time to drain, found %v", name, s.StopGracePeriod)
		}
	}
}

// TestComposeClosesTheUpstream checks that the only published port is the gateway's, on loopback.
func TestComposeClosesTheUpstream(t *testing.T) {
	project, err := compose(t, "AUTH_PUBLIC_KEY=the\nkey")
	if err != nil {
		t.Fatal(err)
	}
	gateway, upstream := project.Services["certgate"], project.Services["schedule"]
	if key := gateway.Environment["AUTH_PUBLIC_KEY"]; key == nil || *key != "the\nkey" {
		t.Errorf("want the key as it is, found %v", key)
	}
	if p := gateway.Ports; len(p) != 1 || p[0].HostIP != "127.0.0.1" || p[0].Target != 8080 {
		t.Errorf("want 8080 on loopback, found %v", p)
	}
	if len(upstream.Ports) != 0 || len(upstream.Networks) != 1 || !project.Networks["back"].Internal {
		t.Errorf("want the upstream on an internal network only, found %v and %v", upstream.Ports, upstream.Networks)
	}
	if v := gateway.Volumes; len(v) != 1 || !v[0].ReadOnly || v[0].Target != "/etc/certgate" {
		t.Errorf("want the folder of the rules to read, found %v", v)
	}
	// The defaults of MAX_CONNECTIONS and MAX_IN_FLIGHT need 11,024.
	if n := gateway.Ulimits["nofile"]; n == nil || n.Single < 16384 {
		t.Errorf("want enough open files, found %v", n)
	}
}

// stages parses the Dockerfile with BuildKit and fails on any finding of its linter.
func stages(t *testing.T) map[string]instructions.Stage {
	t.Helper()
	file, err := parser.Parse(bytes.NewReader(read(t, "..", "..", "Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	warnings := linter.New(&linter.Config{
		Warn: func(rule, _, _, text string, _ []parser.Range) { t.Errorf("%s: %s", rule, text) },
	})
	list, _, err := instructions.Parse(file.AST, warnings)
	if err != nil {
		t.Fatal(err)
	}
	if last := list[len(list)-1].Name; last != "certgate" {
		t.Errorf("want the gateway from a build without --target, found %s", last)
	}
	named := map[string]instructions.Stage{}
	for _, s := range list {
		named[s.Name] = s
	}
	return named
}

// only returns the single command of a type in a stage.
func only[T instructions.Command](t *testing.T, s instructions.Stage) (found T) {
	t.Helper()
	n := 0
	for _, c := range s.Commands {
		if match, ok := c.(T); ok {
			found = match
			n++
		}
	}
	if n != 1 {
		t.Fatalf("%s: want one %T, found %d", s.Name, found, n)
	}
	return found
}

// TestDockerfile checks that the build stage makes static programs with the Go version of go.mod, and
// that they run on a base without a shell, as a numeric user.
func TestDockerfile(t *testing.T) {
	all := stages(t)
	version := goVersion(t)
	if base := all["build"].BaseName; !strings.HasPrefix(base, "golang:"+version+"-") {
		t.Errorf("want the Go %s of go.mod, found %s", version, base)
	}
	built := all["build"].Commands
	text := ""
	for _, c := range built {
		if run, ok := c.(*instructions.RunCommand); ok {
			text += strings.Join(run.CmdLine, " ") + "\n"
		}
	}
	cgo := only[*instructions.EnvCommand](t, all["build"]).Env[0]
	if !strings.Contains(text, "go build -tags nomsgpack -trimpath ") || cgo != (instructions.KeyValuePair{Key: "CGO_ENABLED", Value: "0"}) {
		t.Errorf("want the program that is tested, and static, found\n%s", text)
	}
	if base := all["run"].BaseName; !strings.Contains(base, "/distroless/static") {
		t.Errorf("want a base with nothing to run, found %s", base)
	}
	if user := only[*instructions.UserCommand](t, all["run"]).User; user != "65532:65532" {
		t.Errorf("want a numeric user, for runAsNonRoot, found %s", user)
	}
}

// TestImageRunsTheGateway checks that the image starts the gateway, and its health check, without a
// shell.
func TestImageRunsTheGateway(t *testing.T) {
	gateway := stages(t)["certgate"]
	if gateway.BaseName != "run" {
		t.Errorf("want the gateway on the unprivileged base, found %s", gateway.BaseName)
	}
	entry, cmd := only[*instructions.EntrypointCommand](t, gateway), only[*instructions.CmdCommand](t, gateway)
	if found := strings.Join(append(entry.CmdLine, cmd.CmdLine...), " "); found != "/certgate serve" || entry.PrependShell || cmd.PrependShell {
		t.Errorf("want /certgate serve without a shell, found %q", found)
	}
	health := only[*instructions.HealthCheckCommand](t, gateway).Health
	if strings.Join(health.Test, " ") != "CMD /certgate health" || health.Timeout < 3*time.Second {
		t.Errorf("want certgate health, without a shell, found %q", health.Test)
	}
}

// goVersion returns the language version of the main module, such as 1.26.
func goVersion(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(string(read(t, "..", "..", "go.mod"))) {
		if v, ok := strings.CutPrefix(line, "go "); ok {
			parts := strings.Split(strings.TrimSpace(v), ".")
			return parts[0] + "." + parts[1]
		}
	}
	t.Fatal("want a version in go.mod, found none")
	return ""
}
