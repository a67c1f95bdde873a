package gateway

import (
	"go.uber.org/zap"

	"github.com/certgate/certgate/internal/config"
	"github.com/certgate/certgate/internal/filewatch/regularfile"
)

// keySet returns a function that returns the public keys of assertions, or nil without
// assertions.
func (g *Gateway) keySet() func() []byte {
	if g.config.AssertionKeyFile == "" {
		return nil
	}
	return func() []byte { return g.signer.Load().KeySet() }
}

// readAssertionKeys replaces the keys of assertions. The next request carries an
// assertion of the new signing key.
func (g *Gateway) readAssertionKeys(file regularfile.File) error {
	keys, err := config.ParseAssertionKeys(file, g.config.Keyring)
	if err != nil {
		return err
	}
	next := g.config
	next.AssertionKeys = keys
	signer, err := next.Signer()
	if err != nil {
		return err
	}
	g.config = next
	g.signer.Store(signer)
	return nil
}

// logAssertionKeys logs the keys of assertions. It is called like logKeys.
func (g *Gateway) logAssertionKeys() {
	for i, key := range g.config.AssertionKeys {
		g.log.Info("assertion key", zap.String("key_id", key.ID().Short()), zap.String("algorithm", key.Algorithm()), zap.Bool("signs", i == 0))
	}
}
