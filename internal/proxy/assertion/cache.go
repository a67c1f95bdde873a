package assertion

import (
	"crypto/sha256"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/certgate/certgate/internal/core/access"
	"github.com/certgate/certgate/internal/core/trust"
)

const (
	// maxBytes is the approximate limit of a cache's memory, enough for 25,000 assertions.
	maxBytes = 32 << 20
	// perEntry is the memory of an entry without its strings.
	perEntry = 512
)

// cacheKey has everything that the claims of an assertion depend on, except the time and
// the Signer. An entry can therefore never be sent for another client.
type cacheKey struct {
	certificate [sha256.Size]byte
	anchor      trust.KeyID

	client, auth, rule string
}

func keyOf(g access.Grant, auth string) cacheKey {
	client := g.Client()
	cert := client.Certificate()
	return cacheKey{cert.Thumbprint(), cert.KeyID(), client.Name(), auth, g.Rule()}
}

// entry is a cached assertion. It is used from the time of signing, so that a clock that
// is set back does not lead to assertions of the future, until the margin before its end.
type entry struct {
	token       string
	from, until time.Time
}

// cache holds the assertions of one [Signer]. A Signer has one signing key, so no entry
// outlives a rotation.
type cache struct {
	entries store
}

// store is the part of [otter.Cache] that is used. With the type itself in [cache], the
// compiler would generate all of otter's code again in every package that imports this one.
type store interface {
	GetIfPresent(key cacheKey) (entry, bool)
	Set(key cacheKey, e entry) (entry, bool)
}

func newCache(maxBytes uint64) *cache {
	return &cache{otter.Must(&otter.Options[cacheKey, entry]{
		MaximumWeight: maxBytes,
		Weigher: func(key cacheKey, e entry) uint32 {
			return uint32(perEntry + len(key.client) + len(key.rule) + len(e.token)) //nolint:gosec // far below 4 GiB
		},
	})}
}

func (c *cache) get(key cacheKey, now time.Time) (string, bool) {
	e, ok := c.entries.GetIfPresent(key)
	if !ok || now.Before(e.from) || !now.Before(e.until) {
		return "", false
	}
	return e.token, true
}

// put stores an assertion that was signed at the time now.
func (c *cache) put(key cacheKey, token string, now time.Time) {
	issued := time.Unix(now.Unix(), 0)
	c.entries.Set(key, entry{token, issued, issued.Add(lifetime - margin)})
}
