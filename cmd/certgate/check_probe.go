package main

import (
	"context"
	"fmt"
	"time"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/proxy/probe"
)

// checkProbe is the result of one upstream address. Its JSON always has every key.
type checkProbe struct {
	Upstream string `json:"upstream"`
	OK       bool   `json:"ok"`
	TLS      string `json:"tls"`       // the version, or empty
	NotAfter string `json:"not_after"` // of the service's certificate, or empty
	Status   int    `json:"status"`    // of the response, or 0
	Problem  string `json:"problem"`   // empty if OK
}

// probe connects to each upstream address. The report is not OK if one of them fails.
func (r *checkReport) probe(ctx context.Context, c config.Config) {
	results := probe.Run(ctx, probe.Options{
		Addresses: c.Upstreams, Timeout: c.UpstreamTimeout, Security: c.UpstreamSecurity, HealthPath: c.UpstreamHealthPath,
	})
	for _, found := range results {
		p := checkProbe{Upstream: found.URL.String(), OK: found.Err == nil, TLS: found.TLS, Status: found.Status}
		if !found.NotAfter.IsZero() {
			p.NotAfter = found.NotAfter.UTC().Format(time.RFC3339)
		}
		if found.Err != nil {
			p.Problem, r.OK = found.Err.Error(), false
		}
		r.Probes = append(r.Probes, p)
	}
}

// text returns the result in one line.
func (p checkProbe) text() string {
	if !p.OK {
		return p.Problem
	}
	if p.TLS == "" {
		return fmt.Sprintf("ok, status %d", p.Status)
	}
	return fmt.Sprintf("ok, status %d, %s, certificate valid until %s", p.Status, p.TLS, p.NotAfter)
}
