package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/test/harness"
)

// kubelet makes the folders of volumes as Kubernetes' kubelet does: each file is a link through
// the link ..data to the folder of one version. A change makes a new folder and replaces the
// link ..data by a rename.
type kubelet struct{ root string }

// mount makes the folder of a volume with one file in it.
func (k kubelet) mount(t *testing.T, path, name, text string) {
	t.Helper()
	dir := filepath.Join(k.root, path)
	harness.WriteFile(t, text, dir, "..2026_11_21", name)
	link(t, "..2026_11_21", filepath.Join(dir, "..data"))
	link(t, "..data/"+name, filepath.Join(dir, name))
}

// update gives the volume another content.
func (k kubelet) update(t *testing.T, path, name, text string) {
	t.Helper()
	dir := filepath.Join(k.root, path)
	harness.WriteFile(t, text, dir, "..2026_11_22", name)
	link(t, "..2026_11_22", filepath.Join(dir, "..data"))
	if err := os.RemoveAll(filepath.Join(dir, "..2026_11_21")); err != nil {
		t.Error(err)
	}
}

// scheduled returns the environment of the pod and its volumes, with the
// folders where this test has them.
func scheduled(t *testing.T, p pod, key string) (harness.Env, kubelet) {
	t.Helper()
	k := kubelet{t.TempDir()}
	files := map[string][2]string{"keys": {"master.pub", key}, "rules": {"rules.yaml", deployedRules(t)}}
	env := p.environment()
	for _, mount := range p.Containers[0].Mounts {
		file, ok := files[mount.Name]
		if !ok {
			t.Fatalf("want the volumes keys and rules, found %s", mount.Name)
		}
		k.mount(t, mount.Path, file[0], file[1])
		for name, value := range env {
			if strings.HasPrefix(value, mount.Path+"/") {
				env[name] = filepath.Join(k.root, value)
			}
		}
	}
	return env, k
}

// TestKubernetesPod runs the pod's environment and files, and replaces its Secret and
// ConfigMap without a restart.
func TestKubernetesPod(t *testing.T) {
	t.Parallel()
	p := deployedPod(t)
	old, renewed := harness.NewMasterKey(t, "p256"), harness.NewMasterKey(t, "p256")
	env, k := scheduled(t, p, old.PublicKey)
	// The warning is about ADMIN_ADDR; network.yaml restricts access to that port.
	output := tool(t, env, "check")
	if !strings.Contains(output, "ok: 1 key, 2 rules, 0 denied") || strings.Count(output, "warning: ") != 1 || !strings.Contains(output, "warning: ADMIN_ADDR: ") {
		t.Errorf("want the configuration and a warning about the operator's port, found %s", output)
	}

	u := harness.NewUpstream(t, nil)
	local := env.With(harness.Env{"LISTEN_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "UPSTREAM_URL": u.URL})
	command := harness.Start(t, "certgate", local, p.Containers[0].Args...)
	l := command.WaitListening(t)
	g := &harness.Gateway{Process: command, Addr: l.Addr, Admin: l.AdminAddr, Authz: harness.AuthzAddrs{HTTP: l.AuthzAddr, GRPC: l.GRPCAddr}, Upstream: u}
	waitWatching(t, g, "keys")
	waitWatching(t, g, "rules")
	for _, probe := range []probe{p.Containers[0].Readiness, p.Containers[0].Liveness} {
		if a := g.SendAdmin(t, harness.PlainGet(probe.Get.Path)); a.Status != 200 {
			t.Errorf("%s: want 200, found %d", probe.Get.Path, a.Status)
		}
	}

	dashboard, next := old.Issue(t, harness.OU("web-client")), renewed.Issue(t, harness.OU("web-client"))
	g.WantAllowed(t, harness.Get("/events", dashboard))
	g.WantRefused(t, harness.Get("/events", next), refusal.CertificateUntrusted)
	wantReloaded(t, g, "keys", func() { k.update(t, "/etc/certgate/keys", "master.pub", renewed.PublicKey) })
	g.WantAllowed(t, harness.Get("/events", next))
	g.WantRefused(t, harness.Get("/events", dashboard), refusal.CertificateUntrusted)

	denied := deployedRules(t) + "deny:\n  - client: web-client\n"
	wantReloaded(t, g, "rules", func() { k.update(t, "/etc/certgate/rules", "rules.yaml", denied) })
	g.WantRefused(t, harness.Get("/events", next), refusal.AccessDenied)
}
