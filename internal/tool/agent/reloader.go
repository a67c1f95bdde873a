package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/filewatch"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
	"github.com/certgate/certgate/internal/tool/signing"
)

const (
	// checkInterval is how often the validity of the certificate is checked, and an
	// incomplete pair of files is loaded again.
	checkInterval = time.Minute
	// renewalGrace is how long the files may be an incomplete pair before that is
	// logged as an error. A renewal writes one file after the other.
	renewalGrace = time.Minute
	// maxFileBytes is the largest certificate or key file.
	maxFileBytes = 1 << 20
)

// reloader holds the credential in force and replaces it when its files change. A
// pair of files that cannot be used leaves the previous credential in force.
type reloader struct {
	files   []string // of the certificate and of the key
	log     *zap.Logger
	now     func() time.Time
	reload  chan struct{}
	watch   func(context.Context, filewatch.Options) error
	known   map[string]filewatch.Sum
	current atomic.Pointer[signing.Credential] // never nil

	mu           sync.Mutex
	cert, key    regularfile.File // the newest contents
	failingSince time.Time        // when the newest contents became unusable; zero if they are in force
	errorLogged  bool             // whether the present failure was logged as an error
	logged       validity         // of the last warning about the certificate in force
	loggedAt     time.Time
}

// newReloader loads the credential from its files.
func newReloader(o Options) (*reloader, error) {
	r := &reloader{
		files: []string{o.CertFile, o.KeyFile}, log: o.Log, now: o.Now, reload: make(chan struct{}, 1),
		watch: filewatch.Files, known: map[string]filewatch.Sum{},
	}
	r.cert, r.key = readFile(o.CertFile), readFile(o.KeyFile)
	first, err := r.parse()
	if err != nil {
		return nil, err
	}
	for _, f := range []regularfile.File{r.cert, r.key} {
		r.known[f.Name] = sha256.Sum256(f.Text)
	}
	r.current.Store(first)
	return r, nil
}

func readFile(name string) regularfile.File {
	content, err := regularfile.Read(name, maxFileBytes)
	return regularfile.File{Name: name, Text: content.Text, Err: err}
}

// parse makes a credential from the newest contents.
func (r *reloader) parse() (*signing.Credential, error) {
	for _, f := range []regularfile.File{r.cert, r.key} {
		if f.Err != nil {
			return nil, f.Err
		}
		if len(f.Text) > maxFileBytes {
			return nil, fmt.Errorf("%s: want at most %d bytes, found more", f.Name, maxFileBytes)
		}
	}
	c, err := signing.Parse(r.cert.Text, r.key.Text)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", r.cert.Name, r.key.Name, err)
	}
	return c, nil
}

// run replaces the credential when its files change, until ctx is done.
func (r *reloader) run(ctx context.Context) error {
	var checking sync.WaitGroup
	defer checking.Wait()
	checking.Go(func() {
		ticker := time.NewTicker(checkInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				r.check()
			}
		}
	})
	return r.watch(ctx, filewatch.Options{Names: r.files, Known: r.known, Rescan: r.reload, Report: r.update})
}

// check does the work that depends on the clock only: it runs every [checkInterval].
func (r *reloader) check() {
	r.mu.Lock()
	failing := !r.failingSince.IsZero()
	r.mu.Unlock()
	if failing {
		r.replace(fileChanged)
	}
	r.checkValidity()
}

// trigger is the reason why the files are loaded.
type trigger bool

const (
	fileChanged     trigger = false // the other file of a renewal may still follow
	reloadRequested trigger = true  // the operator has finished writing the files
)

// requestReload makes the file watch report the files, even if they have not changed.
func (r *reloader) requestReload() {
	select {
	case r.reload <- struct{}{}:
	default: // a request is pending already
	}
}

// update receives a report of the file watch.
func (r *reloader) update(result filewatch.Result) {
	r.mu.Lock()
	for _, f := range result.Changed {
		if f.Name == r.files[0] {
			r.cert = f
		}
		if f.Name == r.files[1] {
			r.key = f
		}
	}
	r.mu.Unlock()
	switch {
	case len(result.Waiting) == 0:
		r.replace(trigger(result.Requested))
	case len(result.Changed) > 0:
		r.replace(fileChanged)
	default:
		r.log.Info("files changed in place: they are loaded when they have stayed unchanged for a while",
			zap.Strings("files", result.Waiting), zap.Duration("quiet", filewatch.Quiet))
	}
}

// replace puts the newest contents in force if they are a pair that is valid now.
func (r *reloader) replace(why trigger) {
	r.mu.Lock()
	next, err := r.parse()
	if err == nil {
		err = r.checkUsable(next)
	}
	if err != nil {
		r.logFailure(err, why)
		r.mu.Unlock()
		return
	}
	before := r.current.Swap(next)
	r.failingSince, r.errorLogged = time.Time{}, false
	isNew := !bytes.Equal(before.Certificate().Raw, next.Certificate().Raw)
	if isNew {
		r.logged, r.loggedAt = valid, time.Time{}
	}
	r.mu.Unlock()
	if isNew || why == reloadRequested {
		r.logCertificate()
	}
}

// checkUsable returns an error if the certificate has expired or is not valid yet. Such
// a certificate does not replace the one in force, which may still be valid.
func (r *reloader) checkUsable(next *signing.Credential) error {
	if validityOf(next, r.now()).refusal() == nil {
		return nil
	}
	cert := next.Certificate()
	return fmt.Errorf("want a certificate that is valid now, found one valid from %s to %s",
		cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
}

// logFailure logs that the files cannot be used: as information while a renewal may be
// in progress, later once as an error. The caller holds mu.
func (r *reloader) logFailure(err error, why trigger) {
	now := r.now()
	first := r.failingSince.IsZero()
	if first {
		r.failingSince = now
	}
	switch {
	case why == reloadRequested || !r.errorLogged && now.Sub(r.failingSince) >= renewalGrace:
		r.errorLogged = true
		r.log.Error("not reloaded, the last good certificate stays in force", zap.Error(err))
	case first:
		r.log.Info("the files are not a certificate with its key yet, the last good one stays in force", zap.Error(err))
	}
}

// logCertificate logs the certificate in force, and a warning about its validity if
// there is one.
func (r *reloader) logCertificate() {
	c := r.current.Load()
	r.log.Info("certificate in force", zap.String("client", c.Client()), zap.String("serial", serialOf(c)),
		zap.Time("not_after", c.Certificate().NotAfter))
	r.checkValidity()
}

func serialOf(c *signing.Credential) string {
	return hex.EncodeToString(c.Certificate().SerialNumber.Bytes())
}
