package test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// lineOf reports whether the log of a process that has ended has the line of the
// request that got this answer.
func lineOf(p *process, a answer) bool {
	return strings.Contains(p.stderr.String(), `"request_id":"`+a.header.Get("X-Request-Id")+`"`)
}

// TestLogIsWholeAtTheEnd: lines wait for others before they are written, and
// none is lost by an end in between.
func TestLogIsWholeAtTheEnd(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	g := newGateway(t, m, nil)
	var answers []answer
	for range 50 {
		answers = append(answers, send(t, g.addr, get("/events", mail)))
	}
	g.stop(t, terminate)
	for i, a := range answers {
		if !lineOf(g.process, a) {
			t.Errorf("want the line of request %d in the log", i+1)
		}
	}
}

// TestLogIsWholeAfterASecondSignal: that one ends the program without a word.
func TestLogIsWholeAfterASecondSignal(t *testing.T) {
	t.Parallel()
	m := newMaster(t, "p256")
	mail := m.issue(t, subject("mail"))
	arrived := make(chan struct{}, 1)
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	u := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			arrived <- struct{}{}
			<-hold
		}
	})
	t.Cleanup(release)
	g := serve(t, u, settings(m.publicKey, u))
	held, late := dial(t, g.addr), dial(t, g.addr)
	held.write(t, get("/held", mail).String())
	<-arrived
	probe := get("/events", mail).String()
	late.write(t, probe[:10])
	g.signal(t, terminate)
	if _, err := g.stderr.line(func(line string) bool { return strings.Contains(line, `"msg":"draining"`) }); err != nil {
		t.Fatal(err)
	}
	late.write(t, probe[10:])
	a := late.read(t, "GET")
	g.signal(t, terminate)
	g.wantExit(t, -1)
	if a.status != 200 || !lineOf(g.process, a) {
		t.Errorf("status %d: want 200 and its line in the log", a.status)
	}
}
