package proxies

import (
	"maps"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certgate/certgate/test/harness"
)

// proxyFolder holds the configurations that README.md lists.
const proxyFolder = "../proxies"

// proxyCommand describes how to run a program in the foreground.
type proxyCommand struct {
	name   string
	code   int    // its exit code after SIGTERM; -1 if the signal ends it
	static string // a second configuration in proxyFolder, which names the first by ${DYNAMIC}
	args   func(file, dir string) []string
}

// proxyCommands returns the commands by the first word of a configuration's name.
func proxyCommands() map[string]proxyCommand {
	return map[string]proxyCommand{
		"nginx": {"nginx", 0, "", func(file, dir string) []string {
			return []string{"-p", dir, "-c", file, "-e", "stderr", "-g", "daemon off; master_process off; pid nginx.pid;"}
		}},
		"haproxy": {"haproxy", -1, "", func(file, _ string) []string { return []string{"-db", "-f", file} }},
		"caddy":   {"caddy", 0, "", func(file, _ string) []string { return []string{"run", "--adapter", "caddyfile", "--config", file} }},
		"apache":  {"apache2", 0, "", func(file, _ string) []string { return []string{"-f", file, "-DFOREGROUND"} }},
		"envoy": {"envoy", 0, "", func(file, _ string) []string {
			return []string{"-c", file, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"}
		}},
		"traefik": {"traefik", 0, "traefik-static.yaml", func(file, _ string) []string { return []string{"--configFile=" + file} }},
	}
}

// proxyOptions select the configuration to run.
type proxyOptions struct {
	file   string                   // in proxyFolder, NAME-….EXTENSION
	values map[string]string        // of the file's ${NAME}s, except those that startProxy fills in
	edit   func(text string) string // changes the configuration; may be nil
}

// proxy is a running program.
type proxy struct {
	*harness.Process
	addr string
}

// startProxy runs a configuration until the test ends, and returns when the program
// listens. It fills in ${ADDRESS}, ${PORT} and ${RUN} itself.
func startProxy(t *testing.T, o proxyOptions) proxy {
	t.Helper()
	program, _, _ := strings.Cut(o.file, "-")
	command := proxyCommands()[program]
	path := harness.LookProgram(t, command.name)
	dir, addr := t.TempDir(), harness.FreeAddress(t)
	file := o.write(t, command, dir, addr)
	env := harness.Env{"HOME": dir, "XDG_CONFIG_HOME": dir, "XDG_DATA_HOME": dir}
	p := harness.StartCommand(t, o.file, env, exec.Command(path, command.args(file, dir)...))
	t.Cleanup(func() {
		p.Signal(t, harness.Terminate)
		p.WantExit(t, command.code)
	})
	p.WaitForListener(t, addr)
	return proxy{p, addr}
}

// write writes the configuration into dir and returns the path of the file that the
// program is started with.
func (o proxyOptions) write(t *testing.T, command proxyCommand, dir, addr string) string {
	t.Helper()
	values := maps.Clone(o.values)
	texts := []string{string(harness.ReadFile(t, proxyFolder, o.file))}
	file := filepath.Join(dir, "configuration"+filepath.Ext(o.file))
	if command.static != "" {
		text := string(harness.ReadFile(t, proxyFolder, command.static))
		// Traefik uses a configuration 2 seconds after it has read it, unless this says otherwise.
		texts = append(texts, strings.Replace(text, "\nproviders:\n", "\nproviders:\n  providersThrottleDuration: 50ms\n", 1))
		values["DYNAMIC"] = file
	}
	changed := false
	for i, text := range texts {
		if o.edit != nil {
			texts[i] = o.edit(text)
			changed = changed || texts[i] != text
		}
		file = filepath.Join(dir, strings.Repeat("static-", i)+"configuration"+filepath.Ext(o.file))
		harness.WriteFile(t, o.fill(t, texts[i], values, dir, addr), file)
	}
	if o.edit != nil && !changed {
		t.Fatalf("%s: want the configuration changed, found it as before", o.file)
	}
	return file
}

// placeholder has no other meaning in the configurations: the variables of nginx, HAProxy
// and Apache are in lower case or in other brackets.
var placeholder = regexp.MustCompile(`\$\{([A-Z_]+)\}`)

// fill returns the text with all placeholders filled in.
func (o proxyOptions) fill(t *testing.T, text string, values map[string]string, dir, addr string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"ADDRESS": host, "PORT": port, "RUN": dir}
	maps.Copy(all, values)
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		value, known := all[found[2:len(found)-1]]
		if !known {
			t.Errorf("%s: want a value for each placeholder, found none for %s", o.file, found)
		}
		return value
	})
}
