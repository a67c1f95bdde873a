package ca_test

import (
	"testing"

	"github.com/certgate/certgate/internal/testkit/ca"
)

// TestRSAKey checks that all fixed keys have the size, are made of primes, and differ.
func TestRSAKey(t *testing.T) {
	known := map[string]bool{}
	for _, bits := range []int{1024, 2048, 3072, 4096} {
		for i := range ca.RSAKeys {
			key := ca.RSAKey(t, bits, i)
			if key.N.BitLen() != bits || known[key.N.String()] {
				t.Errorf("want another key of %d bits, found %d bits", bits, key.N.BitLen())
			}
			known[key.N.String()] = true
			if testing.Short() && bits > 2048 {
				continue // the test of a large prime takes long
			}
			for _, prime := range key.Primes {
				if !prime.ProbablyPrime(1) {
					t.Errorf("%d bits: want primes in key %d, found another number", bits, i)
				}
			}
		}
	}
}
