// Package deploy checks scripts/deploy and the Dockerfile with the code of the
// tools that read them: Kubernetes' types and its Pod Security Standards, the
// loader of Docker Compose, the parser and linter of BuildKit, the rule parser and the
// query engine of Prometheus.
//
// It is a module of its own, so that none of these is a dependency of certgate.
package deploy

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const artefacts = "../../scripts/deploy"

// manifests are the objects of scripts/deploy/kubernetes by kind and name.
type manifests map[string]metav1.Object

// newObject returns an empty object of a kind, or nil.
func newObject(m metav1.TypeMeta) metav1.Object {
	switch m.APIVersion + " " + m.Kind {
	case "v1 Service":
		return &corev1.Service{}
	case "v1 ConfigMap":
		return &corev1.ConfigMap{}
	case "apps/v1 Deployment":
		return &appsv1.Deployment{}
	case "policy/v1 PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}
	case "networking.k8s.io/v1 NetworkPolicy":
		return &networkingv1.NetworkPolicy{}
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return &monitoringv1.ServiceMonitor{}
	case "monitoring.coreos.com/v1 PrometheusRule":
		return &monitoringv1.PrometheusRule{}
	}
	return nil
}

// decode reads one object as an API server with strict validation does: a field
// that does not exist, one of another type and one that occurs twice are errors.
func decode(text []byte) (metav1.TypeMeta, metav1.Object, error) {
	var m metav1.TypeMeta
	if err := yaml.Unmarshal(text, &m); err != nil {
		return m, nil, err
	}
	object := newObject(m)
	if object == nil {
		return m, nil, errors.New("want a kind that this test knows, found " + m.APIVersion + " " + m.Kind)
	}
	strict, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return m, nil, err
	}
	faults, err := json.UnmarshalStrict(strict, object)
	return m, object, errors.Join(append(faults, err)...)
}

func read(t *testing.T, elements ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func load(t *testing.T) manifests {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(artefacts, "kubernetes", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("want manifests, found %d (%v)", len(files), err)
	}
	all := manifests{}
	for _, file := range files {
		documents := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(read(t, file))))
		for {
			text := make([]byte, 1<<20)
			n, err := documents.Read(text)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			m, object, err := decode(text[:n])
			if err != nil {
				t.Errorf("%s: %v", filepath.Base(file), err)
				continue
			}
			all[m.Kind+" "+object.GetName()] = object
		}
	}
	return all
}

// find returns the object of a type and name.
func find[T metav1.Object](t *testing.T, all manifests, key string) T {
	t.Helper()
	object, ok := all[key].(T)
	if !ok {
		t.Fatalf("want %s, found only %q", key, slices.Sorted(maps.Keys(all)))
	}
	return object
}

func deployment(t *testing.T, all manifests) *appsv1.Deployment {
	t.Helper()
	return find[*appsv1.Deployment](t, all, "Deployment certgate")
}

// TestManifestsDecode checks that every object exists in the documented namespace and has no
// field that Kubernetes would drop.
func TestManifestsDecode(t *testing.T) {
	all := load(t)
	want := []string{
		"ConfigMap certgate-rules", "Deployment certgate", "NetworkPolicy certgate",
		"NetworkPolicy schedule-from-certgate-only", "PodDisruptionBudget certgate",
		"Service certgate", "Service certgate-admin", "ServiceMonitor certgate",
	}
	if found := slices.Sorted(maps.Keys(all)); !slices.Equal(found, want) {
		t.Errorf("want %q, found %q", want, found)
	}
	for key, object := range all {
		if object.GetNamespace() != "" {
			t.Errorf("%s: want no namespace, found %q", key, object.GetNamespace())
		}
	}
}

// TestDecodeIsStrict checks that decode refuses manifests that kubectl would accept silently.
func TestDecodeIsStrict(t *testing.T) {
	good := string(read(t, artefacts, "kubernetes", "deployment.yaml"))
	if _, _, err := decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, old, new, want string }{
		{"unknown field", "readOnlyRootFilesystem:", "readOnlyRootFileSystem:", "unknown field"},
		{"field in the wrong place", "automountServiceAccountToken: false", "allowPrivilegeEscalation: false", "unknown field"},
		{"field twice", "  replicas: 2\n", "  replicas: 2\n  replicas: 3\n", "already set"},
		{"number for a string", `value: "5000"`, "value: 5000", "cannot unmarshal number"},
	} {
		text := strings.Replace(good, test.old, test.new, 1)
		if _, _, err := decode([]byte(text)); err == nil || text == good || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: want %q, found %v", test.name, test.want, err)
		}
	}
}

// TestPodIsRestricted checks the pod with the code of Kubernetes' Pod Security admission.
func TestPodIsRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := deployment(t, load(t)).Spec.Template
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	if found := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec)); !found.Allowed {
		t.Errorf("want the restricted profile, found %s", found.ForbiddenDetail())
	}
	pod.Spec.Containers[0].SecurityContext.Capabilities = nil
	if policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec)).Allowed {
		t.Error("want a pod with capabilities forbidden: is anything checked?")
	}
}

// TestSelectorsFindThePod checks that every selector matches the pod. Kubernetes accepts selectors
// that match nothing.
func TestSelectorsFindThePod(t *testing.T) {
	all := load(t)
	d := deployment(t, all)
	pod := labels.Set(d.Spec.Template.Labels)
	admin := find[*corev1.Service](t, all, "Service certgate-admin")
	public := find[*corev1.Service](t, all, "Service certgate")
	monitor := find[*monitoringv1.ServiceMonitor](t, all, "ServiceMonitor certgate").Spec
	of := func(s *metav1.LabelSelector) labels.Selector {
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil || selector.Empty() {
			t.Errorf("want a selector, found %v (%v)", s, err)
			return labels.Nothing()
		}
		return selector
	}
	upstream := find[*networkingv1.NetworkPolicy](t, all, "NetworkPolicy schedule-from-certgate-only").Spec
	for name, selector := range map[string]labels.Selector{
		"Deployment":          of(d.Spec.Selector),
		"PodDisruptionBudget": of(find[*policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget certgate").Spec.Selector),
		"NetworkPolicy":       of(&find[*networkingv1.NetworkPolicy](t, all, "NetworkPolicy certgate").Spec.PodSelector),
		"spread":              of(d.Spec.Template.Spec.TopologySpreadConstraints[0].LabelSelector),
		"Service":             labels.SelectorFromSet(public.Spec.Selector),
		"Service for admin":   labels.SelectorFromSet(admin.Spec.Selector),
		"the upstream's":      of(upstream.Ingress[0].From[0].PodSelector),
	} {
		if !selector.Matches(pod) {
			t.Errorf("%s: want the pod %v selected, found %v", name, pod, selector)
		}
	}
	if s := of(&monitor.Selector); !s.Matches(labels.Set(admin.Labels)) || s.Matches(labels.Set(public.Labels)) {
		t.Errorf("ServiceMonitor: want the admin Service and no other, found %v", s)
	}
	if e := monitor.Endpoints[0]; e.Port != admin.Spec.Ports[0].Name || e.Path != "/metrics" {
		t.Errorf("ServiceMonitor: want /metrics at %s, found %s at %s", admin.Spec.Ports[0].Name, e.Path, e.Port)
	}
}

// TestNothingIsCutByARollout checks that a rollout never reduces the number of pods, and that a
// terminating pod has time to finish its requests.
func TestNothingIsCutByARollout(t *testing.T) {
	all := load(t)
	d := deployment(t, all)
	pod, c := d.Spec.Template.Spec, d.Spec.Template.Spec.Containers[0]
	if rolling := d.Spec.Strategy.RollingUpdate; *d.Spec.Replicas < 2 || rolling.MaxUnavailable.IntValue() != 0 {
		t.Errorf("want two replicas or more and none missing, found %d and %v", *d.Spec.Replicas, rolling.MaxUnavailable)
	}
	budget := find[*policyv1.PodDisruptionBudget](t, all, "PodDisruptionBudget certgate").Spec.MaxUnavailable
	if budget == nil || budget.IntValue() < 1 || budget.IntValue() >= int(*d.Spec.Replicas) {
		t.Errorf("want a budget that lets a node drain and leaves a pod, found %v", budget)
	}
	delay, drain := environmentDuration(t, c, "SHUTDOWN_DELAY"), environmentDuration(t, c, "SHUTDOWN_TIMEOUT")
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if c.Lifecycle != nil {
		t.Errorf("want the grace for the gateway alone, found the hooks %v", c.Lifecycle)
	}
	if delay < 5*time.Second || grace < delay+drain+5*time.Second {
		t.Errorf("want %v of grace to hold SHUTDOWN_DELAY %v, SHUTDOWN_TIMEOUT %v and 5s", grace, delay, drain)
	}
	for want, probe := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
		if probe.HTTPGet.Path != want || probe.HTTPGet.Port != intstr.FromString("admin") {
			t.Errorf("want a probe of %s at admin, found %v", want, probe.HTTPGet)
		}
	}
}

// environmentDuration returns the value of a variable as a duration.
func environmentDuration(t *testing.T, c corev1.Container, name string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(environment(c)[name])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

func environment(c corev1.Container) map[string]string {
	values := map[string]string{}
	for _, e := range c.Env {
		values[e.Name] = e.Value
	}
	return values
}

// TestPodStaysSmall checks that GOMEMLIMIT is below the memory limit, and that the pod gets no
// service account token and no service variables.
func TestPodStaysSmall(t *testing.T) {
	pod := deployment(t, load(t)).Spec.Template.Spec
	c := pod.Containers[0]
	limit := c.Resources.Limits.Memory().Value()
	soft := intstr.Parse(strings.TrimSuffix(environment(c)["GOMEMLIMIT"], "MiB")).IntVal
	if soft == 0 || int64(soft)<<20 > limit*8/10 || c.Resources.Limits.Cpu().IsZero() {
		t.Errorf("want GOMEMLIMIT below 80 %% of %d bytes and a limit of cores, found %d MiB", limit, soft)
	}
	if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks || *pod.AutomountServiceAccountToken {
		t.Error("want no service links and no token in the pod")
	}
	for _, m := range c.VolumeMounts {
		if m.SubPath != "" || m.SubPathExpr != "" || !m.ReadOnly {
			t.Errorf("%s: want a whole folder to read, found %+v", m.Name, m)
		}
	}
}

// TestNetworkIsClosed checks that each port accepts one kind of caller, and that the pod may connect
// to two kinds of pods only.
func TestNetworkIsClosed(t *testing.T) {
	all := load(t)
	spec := find[*networkingv1.NetworkPolicy](t, all, "NetworkPolicy certgate").Spec
	if !slices.Equal(spec.PolicyTypes, []networkingv1.PolicyType{"Ingress", "Egress"}) {
		t.Errorf("want both directions closed, found %v", spec.PolicyTypes)
	}
	found := map[string]int{}
	for _, rule := range spec.Ingress {
		wantOnePeer(t, rule.From, rule.Ports)
		found[rule.Ports[0].Port.String()]++
	}
	for _, p := range deployment(t, all).Spec.Template.Spec.Containers[0].Ports {
		if found[p.Name] != 1 {
			t.Errorf("%s: want one kind of caller, found %d", p.Name, found[p.Name])
		}
		delete(found, p.Name)
	}
	if len(found) > 0 || len(spec.Egress) != 2 {
		t.Errorf("want no other port and two permitted destinations, found %v and %d", found, len(spec.Egress))
	}
	for _, rule := range spec.Egress {
		wantOnePeer(t, rule.To, rule.Ports)
	}
}

// wantOnePeer checks for one peer and one port. A rule without a peer allows every peer, and one
// without a port every port.
func wantOnePeer(t *testing.T, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
	t.Helper()
	if len(peers) != 1 || len(ports) == 0 {
		t.Fatalf("want one peer and its ports, found %v and %v", peers, ports)
	}
	if p := peers[0].PodSelector; p == nil || len(p.MatchLabels) == 0 {
		t.Errorf("want pods with a label, found %v", peers[0])
	}
}
