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

	"github.com/certgate/certgate/internal/testkit/rawhttp"
	"github.com/certgate/certgate/internal/tool/agent"
	"github.com/certgate/certgate/internal/tool/pki"
)

// Messages of the log.
const (
	notReloaded = "not reloaded, the last good certificate stays in force"
	incomplete  = "the files are not a certificate with its key yet"
)

// TestRenewal checks that the agent notices changed files and signs the next requests
// with the new pair.
func TestRenewal(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: this test waits until a file has not changed for 2 seconds")
	}
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := startWith(t, options(f, g.url), func(*agent.Agent) {}) // with the file watch
	want := f.renew(time.Now())
	deadline := time.Now().Add(rawhttp.Timeout)
	for {
		s.request(t, "GET", "/", "")
		if g.wantOne(t).cert.Equal(want) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("want the new certificate, found the old one")
		}
	}
	if n := s.countLogs(zapcore.ErrorLevel, ""); n != 0 {
		t.Errorf("want no error in the log, found %d", n)
	}
}

// TestIncompletePair checks a renewal that writes one file after the other: an
// incomplete pair leaves the previous one in force, and is logged as an error once, after
// a minute.
func TestIncompletePair(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	s.request(t, "GET", "/", "")
	first := g.wantOne(t).cert
	now := time.Now()
	s.setClock(now)
	cert, key := f.pair(now)
	for name, half := range map[string]func(){
		"certificate of another key": func() { f.write(f.cert, pki.EncodeCertificate(cert)) },
		"truncated certificate":      func() { f.write(f.cert, pki.EncodeCertificate(cert)[:100]) },
		"no certificate":             func() { _ = os.Remove(f.cert) },
	} {
		half()
		s.FilesChanged()
		if s.request(t, "GET", "/", ""); !g.wantOne(t).cert.Equal(first) {
			t.Errorf("%s: want the last good certificate", name)
		}
	}
	s.setClock(now.Add(59 * time.Second))
	s.Check()
	if infos, errs := s.countLogs(zapcore.InfoLevel, incomplete), s.countLogs(zapcore.ErrorLevel, notReloaded); infos != 1 || errs != 0 {
		t.Errorf("want one info line and no error, found %d and %d", infos, errs)
	}
	s.setClock(now.Add(time.Minute))
	s.Check()
	s.setClock(now.Add(5 * time.Minute))
	s.Check()
	if errs := s.countLogs(zapcore.ErrorLevel, notReloaded); errs != 1 {
		t.Errorf("want one error in the log, found %d", errs)
	}
	f.write(f.cert, pki.EncodeCertificate(cert))
	f.write(f.key, key)
	s.FilesChanged()
	if s.request(t, "GET", "/", ""); !g.wantOne(t).cert.Equal(cert) {
		t.Error("want the new certificate in force")
	}
	if n := s.logs.FilterMessage("certificate in force").Len(); n != 2 {
		t.Errorf("want the first and the new certificate in the log, found %d", n)
	}
	f.write(f.cert, nil) // the next renewal has a minute of its own
	s.FilesChanged()
	if infos, errs := s.countLogs(zapcore.InfoLevel, incomplete), s.countLogs(zapcore.ErrorLevel, notReloaded); infos != 2 || errs != 1 {
		t.Errorf("want another info line and no other error, found %d and %d", infos, errs)
	}
}

// TestReload checks that a requested reload logs an error at once, each time.
func TestReload(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	f.write(f.key, []byte("no key"))
	s.ReloadNow()
	s.ReloadNow()
	if n := s.countLogs(zapcore.ErrorLevel, notReloaded); n != 2 {
		t.Errorf("want an error each time, found %d", n)
	}
	if a := s.request(t, "GET", "/", ""); a.StatusCode != http.StatusOK {
		t.Errorf("want the last good pair, found %d", a.StatusCode)
	}
}

// TestReloadWithWatch checks that Reload makes the file watch report unchanged files.
func TestReloadWithWatch(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	s := startWith(t, options(f, newTarget(t, f, nil).url), func(*agent.Agent) {})
	for deadline := time.Now().Add(rawhttp.Timeout); s.countLogs(zapcore.InfoLevel, "certificate in force") < 2; {
		s.Reload()
		if time.Now().After(deadline) {
			t.Fatal("want the certificate logged again, found it once")
		}
		s.request(t, "GET", "/", "")
	}
}

// TestPipes checks that a named pipe is refused as a certificate file, at the start and
// when the agent runs.
func TestPipes(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	s := start(t, options(f, newTarget(t, f, nil).url))
	if err := errors.Join(os.Remove(f.cert), syscall.Mkfifo(f.cert, 0o600)); err != nil {
		t.Fatal(err)
	}
	s.ReloadNow()
	if n := s.countLogs(zapcore.ErrorLevel, notReloaded); n != 1 {
		t.Errorf("want an error, found %d", n)
	}
	if a := s.request(t, "GET", "/", ""); a.StatusCode != http.StatusOK {
		t.Errorf("want the last good pair, found %d", a.StatusCode)
	}
	if _, err := agent.New(t.Context(), options(f, newTarget(t, f, nil).url)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("want the pipe refused, found %v", err)
	}
}

// TestUnusableCertificate checks that a certificate that has expired or is not valid yet
// does not replace one that is valid.
func TestUnusableCertificate(t *testing.T) {
	t.Parallel()
	for name, when := range map[string]time.Time{"expired": time.Now().Add(-2 * time.Hour), "not yet valid": time.Now().Add(2 * time.Hour)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFiles(t)
			g := newTarget(t, f, nil)
			s := start(t, options(f, g.url))
			f.renew(when)
			s.ReloadNow()
			if a := s.request(t, "GET", "/", ""); a.StatusCode != http.StatusOK || g.wantOne(t).cert.NotBefore.Equal(when.Add(-time.Minute)) {
				t.Error("want the certificate that is valid")
			}
			if n := s.countLogs(zapcore.ErrorLevel, notReloaded); n != 1 {
				t.Errorf("want an error, found %d", n)
			}
			s.setClock(when) // when only the new one is valid
			s.Check()
			if a := s.request(t, "GET", "/healthz", ""); a.StatusCode != http.StatusOK {
				t.Errorf("want the pair of the files, found %d", a.StatusCode)
			}
		})
	}
}

// TestValidity checks at each end of the validity period, to the second, that the agent
// refuses requests, and that it logs a warning when the validity changes and daily.
func TestValidity(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	s.request(t, "GET", "/", "")
	cert := g.wantOne(t).cert
	const expiresSoon, expired, notYetValid = "expires soon", "has expired", "not valid yet"
	life := cert.NotAfter.Sub(cert.NotBefore)
	for _, test := range []struct {
		name    string
		at      time.Time
		reason  string // of the refusal, or "" for none
		level   zapcore.Level
		message string // the new line in the log, or "" for none
	}{
		{"before the begin", cert.NotBefore.Add(-time.Second), "agent_certificate_not_yet_valid", zapcore.ErrorLevel, notYetValid},
		{"begin", cert.NotBefore, "", 0, ""},
		{"three quarters", cert.NotAfter.Add(-life / 4), "", 0, ""},
		{"a second later", cert.NotAfter.Add(-life/4 + time.Second), "", zapcore.WarnLevel, expiresSoon},
		{"a minute later", cert.NotAfter.Add(-life/4 + time.Minute), "", 0, ""},
		{"end", cert.NotAfter, "", 0, ""},
		{"after the end", cert.NotAfter.Add(time.Second), "agent_certificate_expired", zapcore.ErrorLevel, expired},
		{"within a day", cert.NotAfter.Add(23 * time.Hour), "agent_certificate_expired", 0, ""},
		{"after a day", cert.NotAfter.Add(25 * time.Hour), "agent_certificate_expired", zapcore.ErrorLevel, expired},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.logs.TakeAll()
			s.setClock(test.at)
			s.Check()
			if found := s.countLogs(test.level, test.message); test.message != "" && found != 1 || test.message == "" && s.logs.Len() != 0 {
				t.Errorf("want %q in the log, found %+v", test.message, s.logs.All())
			}
			a, health := s.request(t, "GET", "/", ""), s.request(t, "GET", "/healthz", "")
			if test.reason != "" {
				a.wantRefusal(t, 503, test.reason)
				health.wantRefusal(t, 503, test.reason)
				g.wantNone(t)
				return
			}
			if a.StatusCode != http.StatusOK || g.wantOne(t).target != "/" {
				t.Errorf("want 200, found %d", a.StatusCode)
			}
			if health.StatusCode != http.StatusOK || !strings.Contains(health.Text, `"not_after":"`+cert.NotAfter.UTC().Format(time.RFC3339)) {
				t.Errorf("want 200 and the certificate's end, found %d and %s", health.StatusCode, health.Text)
			}
		})
	}
}

// TestWarningPerCertificate checks that each new certificate gets a warning of its own.
func TestWarningPerCertificate(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	s := start(t, options(f, newTarget(t, f, nil).url))
	now := time.Now()
	for i := range 3 {
		s.setClock(now.Add(50 * time.Minute))
		s.Check()
		s.Check()
		if n := s.countLogs(zapcore.WarnLevel, "expires soon"); n != i+1 {
			t.Errorf("want a warning for each of %d certificates, found %d", i+1, n)
		}
		now = now.Add(50 * time.Minute)
		f.renew(now)
		s.ReloadNow()
	}
}

// TestExpiredAtStart checks that an agent starts with an expired certificate and uses the
// renewed one.
func TestExpiredAtStart(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.renew(time.Now().Add(-2 * time.Hour))
	g := newTarget(t, f, nil)
	s := start(t, options(f, g.url))
	s.request(t, "GET", "/", "").wantRefusal(t, 503, "agent_certificate_expired")
	f.renew(time.Now())
	s.ReloadNow()
	if a := s.request(t, "GET", "/", ""); a.StatusCode != http.StatusOK {
		t.Errorf("want 200 after the renewal, found %d", a.StatusCode)
	}
}

// TestUnusableFilesAtStart checks that an agent does not start without a credential.
func TestUnusableFilesAtStart(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	f.write(f.key, []byte("no key"))
	if _, err := agent.New(t.Context(), options(f, newTarget(t, f, nil).url)); err == nil {
		t.Error("want an error, found none")
	}
}
