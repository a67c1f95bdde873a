// Package transcript sends the requests of the demo and prints each with its response. It
// does not import the gateway and the service: [System] describes them.
package transcript

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/certgate/certgate/internal/core/httpsig"
)

// System is the running gateway and service to which the requests are sent.
type System struct {
	GatewayURL, ScheduleURL string
	Callers                 map[string]Caller // mail, social, billing, untrusted and expired
	// TakeReceived returns the identity in the last request that the service has received
	// since the previous call, or the zero value.
	TakeReceived func() Identity
}

// Caller holds the credentials of a sender of requests.
type Caller struct {
	Header string // the certificate, as the header's value
	File   string // the file with the header's value
	Signer *httpsig.Signer
}

// Identity holds the identity headers that the service receives from the gateway.
type Identity struct{ Client, Auth string }

// Print runs the scenes and reports whether every response was the expected one.
func Print(ctx context.Context, w io.Writer, s System) bool {
	printf(w, "certgate: gateway %s, schedule service %s\n", s.GatewayURL, s.ScheduleURL)
	p := runner{w: w, system: s}
	good := 0
	for _, chapter := range chapters() {
		printf(w, "\n%s\n", chapter.title)
		for _, scene := range chapter.scenes {
			if p.run(ctx, scene) {
				good++
			}
		}
	}
	printf(w, "\n%d of %d responses were as expected.\n", good, len(p.sent))
	return good == len(p.sent)
}

// runner runs scenes and keeps the requests that were sent, so that later scenes can use
// captured requests.
type runner struct {
	w      io.Writer
	system System
	sent   []request
}

// run runs a scene and reports whether the response was the expected one.
func (p *runner) run(ctx context.Context, sc scene) bool {
	m, err := p.system.newRequest(sc, p.sent)
	p.sent = append(p.sent, m)
	printf(p.w, "\n%d. %s\n", len(p.sent), sc.title)
	if err != nil {
		return p.fail("%v", err)
	}
	for _, line := range m.printableLines(sc, p.system.Callers[sc.caller].File) {
		printf(p.w, "   > %s\n", line)
	}
	to := p.system.GatewayURL
	if sc.forged != (Identity{}) {
		to = p.system.ScheduleURL
	}
	res, err := m.send(ctx, to)
	if err != nil {
		return p.fail("%v", err)
	}
	defer func() { _ = res.Body.Close() }()
	return p.check(sc, res)
}

func (p *runner) fail(format string, args ...any) bool {
	printf(p.w, "   !! "+format+"\n", args...)
	return false
}

// check prints the response and reports whether it and the identity that the service
// received are the expected ones.
func (p *runner) check(sc scene, res *http.Response) bool {
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return p.fail("%v", err)
	}
	received := p.system.TakeReceived()
	if received != (Identity{}) {
		printf(p.w, "   | X-Client-Id: %s, X-Client-Auth: %s\n", received.Client, received.Auth)
	}
	printf(p.w, "   < %s\n", res.Status)
	if location := res.Header.Get("Location"); location != "" {
		printf(p.w, "   < Location: %s\n", location)
	}
	printf(p.w, "%s\n", indent(body))
	var problem struct{ Reason string }
	_ = json.Unmarshal(body, &problem) // other bodies have no reason
	if res.StatusCode != sc.status || problem.Reason != sc.reason || received != sc.received {
		return p.fail("want %d %s, and the identity %q at the schedule service", sc.status, sc.reason, sc.received)
	}
	return true
}

func indent(body []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, bytes.TrimSpace(body), "   < ", "  ") != nil {
		return "   < " + string(body)
	}
	return "   < " + b.String()
}

func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
