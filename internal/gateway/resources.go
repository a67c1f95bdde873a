package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/certgate/certgate/internal/http1/framing"
)

// resource is a part of the gateway with a limit, such as the requests in flight.
type resource struct {
	name     string // of the gauge of the usage; the one of the limit ends with _capacity
	listener string // the label of connections, or empty
	usage    string // help text of the usage
	capacity string // help text of the limit
	read     func() (used, capacity int64)
}

// resources returns every resource of a built gateway.
func (g *Gateway) resources() []resource {
	all := []resource{
		{
			name: "certgate_upstream_requests_in_flight", read: g.pool.InFlight,
			usage: "Requests that occupy a place at the upstream.", capacity: "Places at the upstream, MAX_IN_FLIGHT.",
		},
		{
			name: "certgate_held_body_bytes", read: g.forwarder.HeldBytes,
			usage: "Bytes of request bodies that are held in memory until they are verified.", capacity: "Bytes of request bodies that can be held in memory.",
		},
		{
			name: "certgate_log_buffer_bytes", read: g.recorder.LogBuffer,
			usage: "Bytes of log lines that are not written yet.", capacity: "Bytes of log lines that can wait to be written; further lines are dropped.",
		},
	}
	if g.nonces.memory != nil {
		all = append(all, resource{
			name: "certgate_nonces", read: g.nonces.stored,
			usage: "Nonces of signed requests that the process stores.", capacity: "Nonces that the process can store; one client may use all free places.",
		})
	}
	return append(all, g.connections()...)
}

// connections returns the open connections of each listener with a limit.
func (g *Gateway) connections() (all []resource) {
	add := func(listener string, read func() (open, capacity int64)) {
		all = append(all, resource{
			name: "certgate_connections", listener: listener, read: read,
			usage: "Open connections of a listener.", capacity: "Connections that a listener accepts at a time; further ones are refused.",
		})
	}
	add("public", openConnections(g.public.framed))
	if g.authz.framed != nil {
		add("authz", openConnections(g.authz.framed))
	}
	if g.extAuthz.listener != nil {
		add("authz_grpc", g.grpc.Connections)
	}
	return all
}

func openConnections(l *framing.Listener) func() (open, capacity int64) {
	return func() (open, capacity int64) { return l.Open(), l.Capacity() }
}

// registerResources registers the gauges of every resource.
func (g *Gateway) registerResources() {
	for _, r := range g.resources() {
		labels := prometheus.Labels{}
		if r.listener != "" {
			labels["listener"] = r.listener
		}
		g.registry.MustRegister(
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: r.name, Help: r.usage, ConstLabels: labels}, func() float64 {
				used, _ := r.read()
				return float64(used)
			}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: r.name + "_capacity", Help: r.capacity, ConstLabels: labels}, func() float64 {
				_, capacity := r.read()
				return float64(capacity)
			}),
		)
	}
}
