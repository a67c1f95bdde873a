package certcache

import "github.com/certgate/certgate/internal/core/gate"

// Limits as the tests need them.
const (
	MaxSpellings = maxSpellings
	PerEntry     = perEntry
)

// NewLimited is New with room for so many bytes.
func NewLimited(inner gate.Identifier, maxBytes uint64) *Identifier {
	return newIdentifier(inner, maxBytes)
}

// Len counts what is remembered, after everything that is to go has gone.
func (i *Identifier) Len() int {
	i.known.CleanUp()
	return i.known.EstimatedSize()
}

// Spellings counts the same by the spellings of each certificate.
func (i *Identifier) Spellings() (certificates, values int) {
	i.known.CleanUp()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range i.spellings {
		values += n
	}
	return len(i.spellings), values
}
