package ca

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"
)

// RSAKeys is the number of different keys that [RSAKey] has of each size.
const RSAKeys = 4

// primeOffsets returns the distances of primes from the numbers that primeBase returns. Two
// primes make a key.
func primeOffsets(bits int) []int64 {
	return map[int][]int64{
		1024: {860, 154, 438, 28, 492, 192, 98, 8},
		2048: {722, 2108, 284, 1034, 1194, 2398, 222, 182},
		3072: {340, 1004, 848, 460, 2424, 470, 740, 192},
		4096: {980, 538, 1592, 2266, 1510, 4024, 1998, 1560},
	}[bits]
}

// RSAKey returns the fixed RSA key with the number i, from 0 to [RSAKeys] - 1, of 1024,
// 2048, 3072 or 4096 bits. The search for the primes of a new key takes about 0.3 s for 2048
// bits and several seconds for 4096 bits, so the primes are known. Anyone can compute these
// keys.
func RSAKey(tb TB, bits, i int) *rsa.PrivateKey {
	tb.Helper()
	offsets := primeOffsets(bits)
	if i < 0 || 2*i+1 >= len(offsets) {
		tb.Fatal(fmt.Sprintf("there is no RSA key %d of %d bits", i, bits))
	}
	p := new(big.Int).Add(primeBase(bits, 2*i), big.NewInt(offsets[2*i]))
	q := new(big.Int).Add(primeBase(bits, 2*i+1), big.NewInt(offsets[2*i+1]))
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	const exponent = 65537
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent},
		D:         new(big.Int).ModInverse(big.NewInt(exponent), phi), Primes: []*big.Int{p, q},
	}
	key.Precompute()
	if err := key.Validate(); err != nil {
		tb.Fatal(err)
	}
	return key
}

// primeBase returns an odd number of half as many bits as the key, with the highest two bits
// set. Its other bits are those of SHA-256.
func primeBase(bits, i int) *big.Int {
	bytes := make([]byte, 0, bits/16)
	for block := uint64(0); len(bytes) < bits/16; block++ {
		input := []byte("certgate test key")
		for _, number := range []uint64{uint64(bits), uint64(i), block} {
			input = binary.BigEndian.AppendUint64(input, number)
		}
		sum := sha256.Sum256(input)
		bytes = append(bytes, sum[:]...)
	}
	bytes[0] |= 0xc0
	bytes[bits/16-1] |= 1
	return new(big.Int).SetBytes(bytes[:bits/16])
}
