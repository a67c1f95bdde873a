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
	// lookInterval is how often the certificate's period is compared with the
	// clock, and files that are no pair are judged again.
	lookInterval = time.Minute
	// halfTime is how long the files may be no pair without an alarm: a renewal
	// writes one after the other.
	halfTime = time.Minute
	// repeatTime is how often a warning that still holds is repeated.
	repeatTime = 24 * time.Hour
	// maxFile is the largest certificate or key file, in bytes.
	maxFile = 1 << 20
)

// keeper has the credential in force and renews it from its files.
type keeper struct {
	files   []string // with the certificate and with the key
	log     *zap.Logger
	now     func() time.Time
	ask     chan struct{}
	watch   func(context.Context, filewatch.Options) error
	known   map[string]filewatch.Sum
	current atomic.Pointer[signing.Credential] // the last good one, never nil

	mu        sync.Mutex
	cert, key regularfile.File // the newest contents
	broken    time.Time        // since when they are not what is in force; zero: they are
	told      bool             // that they are broken, as an error
	said      state            // what the log knows of the certificate's time
	saidAt    time.Time
}

func newKeeper(o Options) (*keeper, error) {
	k := &keeper{files: []string{o.CertFile, o.KeyFile}, log: o.Log, now: o.Now, ask: make(chan struct{}, 1), watch: filewatch.Files, known: map[string]filewatch.Sum{}}
	k.cert, k.key = read(o.CertFile), read(o.KeyFile)
	first, err := k.parse()
	if err != nil {
		return nil, err
	}
	for _, f := range []regularfile.File{k.cert, k.key} {
		k.known[f.Name] = sha256.Sum256(f.Text)
	}
	k.current.Store(first)
	return k, nil
}

func read(name string) regularfile.File {
	content, err := regularfile.Read(name, maxFile)
	return regularfile.File{Name: name, Text: content.Text, Err: err}
}

// parse makes a credential of the newest contents.
func (k *keeper) parse() (*signing.Credential, error) {
	for _, f := range []regularfile.File{k.cert, k.key} {
		if f.Err != nil {
			return nil, f.Err
		}
		if len(f.Text) > maxFile {
			return nil, fmt.Errorf("%s: want at most %d bytes, found more", f.Name, maxFile)
		}
	}
	c, err := signing.Parse(k.cert.Text, k.key.Text)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", k.cert.Name, k.key.Name, err)
	}
	return c, nil
}

// run renews the credential when its files change, until ctx is done.
func (k *keeper) run(ctx context.Context) error {
	var looking sync.WaitGroup
	defer looking.Wait()
	looking.Go(func() {
		tick := time.NewTicker(lookInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				k.look()
			}
		}
	})
	return k.watch(ctx, filewatch.Options{Names: k.files, Known: k.known, Ask: k.ask, Report: k.take})
}

// look does what time alone makes necessary.
func (k *keeper) look() {
	k.mu.Lock()
	waiting := !k.broken.IsZero()
	k.mu.Unlock()
	if waiting {
		k.judge(changed)
	}
	k.checkTime()
}

// occasion is why the files are judged.
type occasion bool

const (
	changed occasion = false // one of them may be newer than the other
	asked   occasion = true  // the operator says that they are complete
)

// reload asks for a look at the files.
func (k *keeper) reload() {
	select {
	case k.ask <- struct{}{}:
	default: // a look is asked for already
	}
}

// take takes what the watch has found.
func (k *keeper) take(look filewatch.Look) {
	k.mu.Lock()
	for _, f := range look.Changed {
		if f.Name == k.files[0] {
			k.cert = f
		}
		if f.Name == k.files[1] {
			k.key = f
		}
	}
	k.mu.Unlock()
	switch {
	case len(look.Waiting) == 0:
		k.judge(occasion(look.Asked))
	case len(look.Changed) > 0:
		k.judge(changed)
	default:
		k.log.Info("changed in place: the content counts when it has stayed the same for a while",
			zap.Strings("files", look.Waiting), zap.Duration("quiet", filewatch.Quiet))
	}
}

// judge puts the newest contents in force if they are a good pair.
func (k *keeper) judge(why occasion) {
	k.mu.Lock()
	next, err := k.parse()
	if err == nil {
		err = k.check(next)
	}
	if err != nil {
		k.keep(err, why)
		k.mu.Unlock()
		return
	}
	before := k.current.Swap(next)
	k.broken, k.told = time.Time{}, false
	isNew := !bytes.Equal(before.Certificate().Raw, next.Certificate().Raw)
	if isNew {
		k.said, k.saidAt = fine, time.Time{}
	}
	k.mu.Unlock()
	if isNew || why == asked {
		k.announce()
	}
}

// check is an error when the certificate is out of its time: it is no better than
// any in force.
func (k *keeper) check(next *signing.Credential) error {
	if stateOf(next, k.now()).usable() {
		return nil
	}
	cert := next.Certificate()
	return fmt.Errorf("want a certificate that is valid now, found one from %s to %s",
		cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
}

// keep says that the files are no good: as an error when that is not the middle of
// a renewal, and once. It wants mu held.
func (k *keeper) keep(err error, why occasion) {
	now := k.now()
	first := k.broken.IsZero()
	if first {
		k.broken = now
	}
	switch {
	case why == asked || !k.told && now.Sub(k.broken) >= halfTime:
		k.told = true
		k.log.Error("not reloaded, the last good certificate stays in force", zap.Error(err))
	case first:
		k.log.Info("the files are not a certificate with its key yet, the last good one stays in force", zap.Error(err))
	}
}

// announce says which certificate is in force, and what is wrong with its time.
func (k *keeper) announce() {
	c := k.current.Load()
	k.log.Info("certificate in force", zap.String("client", c.Client()), zap.String("serial", serial(c)),
		zap.Time("not_after", c.Certificate().NotAfter))
	k.checkTime()
}

// checkTime warns before the certificate expires, and when it has: at once when
// that is news, then daily.
func (k *keeper) checkTime() {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, now := k.current.Load(), k.now()
	found := stateOf(c, now)
	if found == fine || found == k.said && now.Sub(k.saidAt) < repeatTime {
		return
	}
	k.said, k.saidAt = found, now
	fields := []zap.Field{zap.String("client", c.Client()), zap.String("serial", serial(c)),
		zap.Time("not_before", c.Certificate().NotBefore), zap.Time("not_after", c.Certificate().NotAfter)}
	switch found {
	case expiring:
		k.log.Warn("the certificate expires soon", fields...)
	case expired:
		k.log.Error("the certificate has expired: every request is refused until there is another", fields...)
	case early:
		k.log.Error("the certificate is not valid yet: every request is refused until it is", fields...)
	}
}

func serial(c *signing.Credential) string {
	return hex.EncodeToString(c.Certificate().SerialNumber.Bytes())
}

// state is what a certificate's period says of a moment.
type state int

const (
	fine state = iota
	expiring
	early
	expired
)

// usable reports whether requests can be signed.
func (s state) usable() bool { return s == fine || s == expiring }

// stateOf calls the last quarter of a certificate's life its end: who renews in
// time does so after two thirds.
func stateOf(c *signing.Credential, now time.Time) state {
	begin, end := c.Certificate().NotBefore, c.Certificate().NotAfter
	switch {
	case now.Before(begin):
		return early
	case now.After(end):
		return expired
	case end.Sub(now) < end.Sub(begin)/4:
		return expiring
	default:
		return fine
	}
}
