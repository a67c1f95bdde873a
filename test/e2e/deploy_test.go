package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/test/harness"
)

const deployed = "../../scripts/deploy"

func readDeployed(t *testing.T, elements ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{deployed}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pod contains the parts of scripts/deploy/kubernetes/deployment.yaml that the tests read.
type pod struct {
	Containers []struct {
		Args []string `yaml:"args"`
		Env  []struct {
			Name  string `yaml:"name"`
			Value string `yaml:"value"`
		} `yaml:"env"`
		Ports []struct {
			Name string `yaml:"name"`
			Port int    `yaml:"containerPort"`
		} `yaml:"ports"`
		Readiness probe `yaml:"readinessProbe"`
		Liveness  probe `yaml:"livenessProbe"`
		Mounts    []struct {
			Name string `yaml:"name"`
			Path string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	} `yaml:"containers"`
}

type probe struct {
	Get struct {
		Path string `yaml:"path"`
	} `yaml:"httpGet"`
}

func deployedPod(t *testing.T) pod {
	t.Helper()
	var d struct {
		Spec struct {
			Template struct {
				Spec pod `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	if err := yaml.Load([]byte(readDeployed(t, "kubernetes", "deployment.yaml")), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("want one container, found %d", len(d.Spec.Template.Spec.Containers))
	}
	return d.Spec.Template.Spec
}

func (p pod) environment() harness.Env {
	env := harness.Env{}
	for _, e := range p.Containers[0].Env {
		env[e.Name] = e.Value
	}
	return env
}

// deployedRules returns the rules in the manifest's ConfigMap.
func deployedRules(t *testing.T) string {
	t.Helper()
	var c struct {
		Data map[string]string `yaml:"data"`
	}
	if err := yaml.Load([]byte(readDeployed(t, "kubernetes", "rules.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c.Data["rules.yaml"]
}

// composeEnvironment returns the variables in the compose file, without interpolation.
func composeEnvironment(t *testing.T) harness.Env {
	t.Helper()
	var c struct {
		Services map[string]struct {
			Environment harness.Env `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Load([]byte(readDeployed(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c.Services["certgate"].Environment
}

var assignment = regexp.MustCompile(`(?m)^#?([A-Z_]+)=(.*)$`)

// unitEnvironment returns the variables in certgate.env, including those in comments.
func unitEnvironment(t *testing.T) harness.Env {
	t.Helper()
	env := harness.Env{}
	for _, m := range assignment.FindAllStringSubmatch(readDeployed(t, "systemd", "certgate.env"), -1) {
		env[m[1]] = m[2]
	}
	return env
}

// TestDeployedVariablesExist checks that certgate knows every variable in the deployment
// files.
func TestDeployedVariablesExist(t *testing.T) {
	t.Parallel()
	known := []string{"GOMEMLIMIT"} // Go's own
	for _, v := range config.Variables() {
		known = append(known, v.Name)
	}
	for place, env := range map[string]harness.Env{
		"kubernetes": deployedPod(t).environment(), "compose": composeEnvironment(t), "systemd": unitEnvironment(t),
	} {
		if len(env) < 3 {
			t.Errorf("%s: want the required variables, found %v", place, env)
		}
		for _, name := range slices.Sorted(maps.Keys(env)) {
			if !slices.Contains(known, name) {
				t.Errorf("%s: want variables of certgate, found %s", place, name)
			}
		}
	}
}

func variableDefault(t *testing.T, name string) string {
	t.Helper()
	for _, v := range config.Variables() {
		if v.Name == name {
			return v.Default
		}
	}
	t.Fatalf("want the variable %s, found none", name)
	return ""
}

// TestDeployedPortsAgree checks that the deployment files publish and probe the ports on
// which the programs listen.
func TestDeployedPortsAgree(t *testing.T) {
	t.Parallel()
	public, p := variableDefault(t, "LISTEN_ADDR"), deployedPod(t)
	_, adminPort, _ := strings.Cut(p.environment()["ADMIN_ADDR"], ":")
	text, err := json.Marshal(p.Containers[0].Ports)
	if want := `[{"Name":"http","Port":` + public[1:] + `},{"Name":"admin","Port":` + adminPort + `}]`; err != nil || string(text) != want {
		t.Errorf("kubernetes: want %s, found %s", want, text)
	}
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ place, text, part string }{
		{"Dockerfile", string(dockerfile), "EXPOSE " + public[1:] + " " + adminPort + "\n"},
		{"compose", readDeployed(t, "compose.yaml"), `ports: ["127.0.0.1:8080` + public + `"]`},
		{"systemd", readDeployed(t, "systemd", "certgate.socket"), "ListenStream=" + public[1:] + "\n"},
	} {
		if !strings.Contains(want.text, want.part) {
			t.Errorf("%s: want %q, found no such line", want.place, want.part)
		}
	}
}

// TestDeployedRulesAreTheSame compares the two copies of the example rules.
func TestDeployedRulesAreTheSame(t *testing.T) {
	t.Parallel()
	if want, found := readDeployed(t, "rules", "rules.yaml"), deployedRules(t); found != want {
		t.Errorf("want the ConfigMap to hold\n%s\nfound\n%s", want, found)
	}
}

// TestDeployedEnvironmentIsValid runs certgate check with the environments of compose and
// systemd.
func TestDeployedEnvironmentIsValid(t *testing.T) {
	t.Parallel()
	m := harness.NewMasterKey(t, "p256")
	dir := t.TempDir()
	harness.WriteFile(t, m.PublicKey, dir, "master.pub")
	harness.WriteFile(t, readDeployed(t, "rules", "rules.yaml"), dir, "rules.yaml")
	compose := composeEnvironment(t).With(harness.Env{"AUTH_PUBLIC_KEY": m.PublicKey})
	for place, env := range map[string]harness.Env{"compose": compose, "systemd": unitEnvironment(t)} {
		for name, value := range env {
			env[name] = strings.Replace(value, "/etc/certgate", dir, 1)
		}
		if output := tool(t, env, "check"); !strings.HasPrefix(output, "ok: 1 key, 2 rules, 0 denied") {
			t.Errorf("%s: want the configuration without a warning, found %s", place, output)
		}
	}
}

var healthcheck = regexp.MustCompile(`(?m)^HEALTHCHECK .*\\\n +CMD (\[.*\])$`)

// TestDockerfileHealthcheck runs the HEALTHCHECK of the Dockerfile with a gateway and
// without one.
func TestDockerfileHealthcheck(t *testing.T) {
	t.Parallel()
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var command []string
	if m := healthcheck.FindSubmatch(dockerfile); m == nil || json.Unmarshal(m[1], &command) != nil || command[0] != "/certgate" {
		t.Fatalf("want a HEALTHCHECK of /certgate, found %q", command)
	}
	g := harness.NewGateway(t, harness.NewMasterKey(t, "p256"), nil)
	env := harness.Env{"LISTEN_ADDR": g.Addr}
	if result := harness.Run(t, "certgate", env, command[1:]...); result.ExitCode != 0 {
		t.Errorf("want a healthy gateway, found %+v", result)
	}
	g.Stop(t, harness.Terminate)
	if result := harness.Run(t, "certgate", env, command[1:]...); result.ExitCode != 1 {
		t.Errorf("want exit code 1 when it is gone, found %+v", result)
	}
}
