package agent_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/certgate/certgate/internal/tool/agent"
	"github.com/certgate/certgate/internal/tool/pki"
)

const (
	kept    = "not reloaded, the last good certificate stays in force"
	waiting = "the files are not a certificate with its key yet"
)

// TestRenewal: a new pair counts for the next request, by itself when the files
// change.
func TestRenewal(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := startWith(t, options(f, g.url), func(*agent.Agent) {}) // which watches its files
	want := f.renew(time.Now())
	deadline := time.Now().Add(patience)
	for {
		s.ask(t, "GET", "/", "")
		if g.one(t).cert.Equal(want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("want the new certificate, found the old one")
		}
	}
	if n := s.said(zapcore.ErrorLevel, ""); n != 0 {
		t.Errorf("want no alarm, found %d", n)
	}
}

// TestHalfAPair: a renewal writes one file after the other, and only what stays
// broken is an error, said once.
func TestHalfAPair(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	s.ask(t, "GET", "/", "")
	first := g.one(t).cert
	now := time.Now()
	s.at(now)
	cert, key := f.pair(now)
	for name, half := range map[string]func(){
		"another's certificate": func() { f.write(f.cert, pki.EncodeCertificate(cert)) },
		"half a certificate":    func() { f.write(f.cert, pki.EncodeCertificate(cert)[:100]) },
		"no certificate":        func() { _ = os.Remove(f.cert) },
	} {
		half()
		s.Reread()
		if s.ask(t, "GET", "/", ""); !g.one(t).cert.Equal(first) {
			t.Errorf("%s: want the last good certificate", name)
		}
	}
	s.at(now.Add(59 * time.Second))
	s.Look()
	if info, alarms := s.said(zapcore.InfoLevel, waiting), s.said(zapcore.ErrorLevel, kept); info != 1 || alarms != 0 {
		t.Errorf("want one word and no alarm, found %d and %d", info, alarms)
	}
	s.at(now.Add(time.Minute))
	s.Look()
	s.at(now.Add(5 * time.Minute))
	s.Look()
	if alarms := s.said(zapcore.ErrorLevel, kept); alarms != 1 {
		t.Errorf("want one alarm, found %d", alarms)
	}
	f.write(f.cert, pki.EncodeCertificate(cert))
	f.write(f.key, key)
	s.Reread()
	if s.ask(t, "GET", "/", ""); !g.one(t).cert.Equal(cert) {
		t.Error("want the new certificate in force")
	}
	if n := s.logs.FilterMessage("certificate in force").Len(); n != 2 {
		t.Errorf("want the first and the new certificate in the log, found %d", n)
	}
	f.write(f.cert, nil) // the next renewal has its own minute
	s.Reread()
	if info, alarms := s.said(zapcore.InfoLevel, waiting), s.said(zapcore.ErrorLevel, kept); info != 2 || alarms != 1 {
		t.Errorf("want another word and no other alarm, found %d and %d", info, alarms)
	}
}

// TestReload: whoever asks for it hears at once what is wrong.
func TestReload(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	f.write(f.key, []byte("no key"))
	s.ReloadNow()
	s.ReloadNow()
	if n := s.said(zapcore.ErrorLevel, kept); n != 2 {
		t.Errorf("want an error each time, found %d", n)
	}
	if a := s.ask(t, "GET", "/", ""); a.StatusCode != http.StatusOK {
		t.Errorf("want the last good pair, found %d", a.StatusCode)
	}
}

// TestReloadAsks: SIGHUP is answered by the watch.
func TestReloadAsks(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	s := startWith(t, options(f, newTarget(t, f, nil).url), func(*agent.Agent) {})
	for deadline := time.Now().Add(patience); s.said(zapcore.InfoLevel, "certificate in force") < 2; {
		s.Reload()
		if time.Now().After(deadline) {
			t.Fatal("want an answer, found none")
		}
		s.ask(t, "GET", "/", "")
	}
}

// TestPipes: a named pipe or a device is no certificate, at the start and later.
func TestPipes(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	s := start(t, options(f, newTarget(t, f, nil).url))
	if err := errors.Join(os.Remove(f.cert), syscall.Mkfifo(f.cert, 0o600)); err != nil {
		t.Fatal(err)
	}
	s.ReloadNow()
	if n := s.said(zapcore.ErrorLevel, kept); n != 1 {
		t.Errorf("want an error, found %d", n)
	}
	if a := s.ask(t, "GET", "/", ""); a.StatusCode != http.StatusOK {
		t.Errorf("want the last good pair, found %d", a.StatusCode)
	}
	if _, err := agent.New(t.Context(), options(f, newTarget(t, f, nil).url)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("want the pipe refused, found %v", err)
	}
}

// TestWorsePair: an old certificate does not take the place of one that is valid.
func TestWorsePair(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]time.Time{"expired": time.Now().Add(-2 * time.Hour), "early": time.Now().Add(2 * time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFiles(t)
			g := newTarget(t, f, nil)
			s := start(t, options(f, g.url))
			f.renew(when)
			s.ReloadNow()
			if a := s.ask(t, "GET", "/", ""); a.StatusCode != http.StatusOK || g.one(t).cert.NotBefore.Equal(when.Add(-time.Minute)) {
				t.Error("want the certificate that is valid")
			}
			if n := s.said(zapcore.ErrorLevel, kept); n != 1 {
				t.Errorf("want an error, found %d", n)
			}
			s.at(when) // when it is the other way round
			s.Look()
			if a := s.ask(t, "GET", "/healthz", ""); a.StatusCode != http.StatusOK {
				t.Errorf("want the pair of the files, found %d", a.StatusCode)
			}
		})
	}
}

// TestTime: the agent answers for its certificate itself, to the second, and says
// so in the log when it is news and daily.
func TestTime(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	s.ask(t, "GET", "/", "")
	cert := g.one(t).cert
	const soon, over, early = "expires soon", "has expired", "not valid yet"
	life := cert.NotAfter.Sub(cert.NotBefore)
	for _, test := range []struct {
		name    string
		at      time.Time
		reason  string // "": it is usable
		level   zapcore.Level
		message string // new in the log
	}{
		{"early", cert.NotBefore.Add(-time.Second), "agent_certificate_not_yet_valid", zapcore.ErrorLevel, early},
		{"begin", cert.NotBefore, "", 0, ""},
		{"three quarters", cert.NotAfter.Add(-life / 4), "", 0, ""},
		{"later", cert.NotAfter.Add(-life/4 + time.Second), "", zapcore.WarnLevel, soon},
		{"a little later", cert.NotAfter.Add(-life/4 + time.Minute), "", 0, ""},
		{"end", cert.NotAfter, "", 0, ""},
		{"expired", cert.NotAfter.Add(time.Second), "agent_certificate_expired", zapcore.ErrorLevel, over},
		{"and still", cert.NotAfter.Add(23 * time.Hour), "agent_certificate_expired", 0, ""},
		{"and a day later", cert.NotAfter.Add(25 * time.Hour), "agent_certificate_expired", zapcore.ErrorLevel, over},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.logs.TakeAll()
			s.at(test.at)
			s.Look()
			if found := s.said(test.level, test.message); test.message != "" && found != 1 || test.message == "" && s.logs.Len() != 0 {
				t.Errorf("want %q in the log, found %+v", test.message, s.logs.All())
			}
			a, health := s.ask(t, "GET", "/", ""), s.ask(t, "GET", "/healthz", "")
			if test.reason != "" {
				a.want(t, 503, test.reason)
				health.want(t, 503, test.reason)
				g.wantNone(t)
				return
			}
			if a.StatusCode != http.StatusOK || g.one(t).target != "/" {
				t.Errorf("want 200, found %d", a.StatusCode)
			}
			if health.StatusCode != http.StatusOK || !strings.Contains(health.body, `"not_after":"`+cert.NotAfter.UTC().Format(time.RFC3339)) {
				t.Errorf("want 200 and the certificate's end, found %d and %s", health.StatusCode, health.body)
			}
		})
	}
}

// TestNextCertificateIsWarnedOfAnew: what was said of the one before does not count.
func TestNextCertificateIsWarnedOfAnew(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	s := start(t, options(f, newTarget(t, f, nil).url))
	now := time.Now()
	for i := range 3 {
		s.at(now.Add(50 * time.Minute))
		s.Look()
		s.Look()
		if n := s.said(zapcore.WarnLevel, "expires soon"); n != i+1 {
			t.Errorf("want a warning for each of %d certificates, found %d", i+1, n)
		}
		now = now.Add(50 * time.Minute)
		f.renew(now)
		s.ReloadNow()
	}
}

// TestExpiredAtTheStart is no reason not to start: there may soon be another.
func TestExpiredAtTheStart(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.renew(time.Now().Add(-2 * time.Hour))
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	s.ask(t, "GET", "/", "").want(t, 503, "agent_certificate_expired")
	f.renew(time.Now())
	s.ReloadNow()
	if a := s.ask(t, "GET", "/", ""); a.StatusCode != http.StatusOK {
		t.Errorf("want 200 after the renewal, found %d", a.StatusCode)
	}
}

// TestBadFilesAtTheStart: no agent without a credential.
func TestBadFilesAtTheStart(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.write(f.key, []byte("no key"))
	if _, err := agent.New(t.Context(), options(f, newTarget(t, f, nil).url)); err == nil {
		t.Error("want an error, found none")
	}
}
