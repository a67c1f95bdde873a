package gate_test

import (
	"bytes"
	"slices"
	"strings"

	"github.com/certgate/certgate/internal/core/certheader"
)

// shape is one kind of forged credential that is expensive to process. Its
// certificates name the CA as their issuer unless the shape is about the issuer.
type shape struct {
	name string
	// build makes a credential whose expensive part takes room bytes. An extension of pad
	// bytes makes it longer.
	build func(room, pad int) string
}

// tlv encodes one ASN.1 element; its content may consist of several elements.
func tlv(tag byte, content ...[]byte) []byte {
	body := slices.Concat(content...)
	n := len(body)
	switch {
	case n < 0x80:
		return slices.Concat([]byte{tag, byte(n)}, body)
	case n < 0x100:
		return slices.Concat([]byte{tag, 0x81, byte(n)}, body)
	case n < 0x10000:
		return slices.Concat([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body)
	default:
		return slices.Concat([]byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}, body)
	}
}

const (
	tagSequence = 0x30
	tagSet      = 0x31
	tagOID      = 6
	tagUTF8     = 12
	tagInteger  = 2
	tagOctets   = 4
	tagBits     = 3
	tagBoolean  = 1
)

// parts are the elements of a forged certificate, in DER. A nil element is the
// plain forgery's.
type parts struct {
	algorithm, issuer, subject, key, extensions []byte
	pad                                         int // length of another extension, or 0
}

// mint builds forged certificates whose signature has a plausible form.
type mint struct {
	issuer    []byte // the CA's subject
	key       []byte // a P-256 SubjectPublicKeyInfo
	signature []byte // as long as the CA's are
	algorithm []byte
}

func (m mint) certificate(p parts) []byte {
	or := func(a, b []byte) []byte {
		if a == nil {
			return b
		}
		return a
	}
	algorithm := or(p.algorithm, m.algorithm)
	validity := tlv(tagSequence, tlv(0x17, []byte("200101000000Z")), tlv(0x17, []byte("491231235959Z")))
	version, extensions := tlv(0xa0, tlv(tagInteger, []byte{2})), []byte{}
	if p.pad > 0 {
		p.extensions = slices.Concat(p.extensions, extension(oidOf(0, 6), make([]byte, p.pad)))
	}
	if p.extensions != nil {
		extensions = tlv(0xa3, tlv(tagSequence, p.extensions))
	}
	tbs := tlv(tagSequence, version, tlv(tagInteger, []byte{1}), algorithm, or(p.issuer, m.issuer), validity,
		or(p.subject, unitName), or(p.key, m.key), extensions)
	return tlv(tagSequence, tbs, algorithm, tlv(tagBits, []byte{0}, m.signature))
}

var (
	oidUnit = []byte{0x55, 4, 11}
	// unitName is the distinguished name OU=mail.
	unitName = tlv(tagSequence, tlv(tagSet, attribute(oidUnit, "mail")))
	// algorithmSHA1 is sha1WithRSAEncryption.
	algorithmSHA1 = tlv(tagSequence, tlv(tagOID, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5}), []byte{5, 0})
)

func attribute(oid []byte, value string) []byte {
	return tlv(tagSequence, tlv(tagOID, oid), tlv(tagUTF8, []byte(value)))
}

// repeat repeats an element until it takes about size bytes.
func repeat(size int, element []byte) []byte {
	return bytes.Repeat(element, size/len(element))
}

// fill is repeat with elements that differ.
func fill(size int, element func(i int) []byte) []byte {
	var all []byte
	for i := 0; len(all) < size; i++ {
		all = append(all, element(i)...)
	}
	return all
}

// oidOf returns the content of an object identifier that is different for each i
// and takes size bytes.
func oidOf(i, size int) []byte { // at least 5 bytes
	oid := slices.Repeat([]byte{0x81}, size)
	oid[0], oid[size-3], oid[size-2], oid[size-1] = 0x2a, 0x81+byte(i>>14)&0x3f, 0x80|byte(i>>7), byte(i&0x7f)
	return oid
}

func extension(oid []byte, value []byte) []byte {
	return tlv(tagSequence, tlv(tagOID, oid), tlv(tagOctets, value))
}

// shapes lists expensive credentials. The first one has nothing but the pad.
func (m mint) shapes() []shape {
	one := func(p func(room int) parts) func(room, pad int) string {
		return func(room, pad int) string {
			forged := p(room)
			forged.pad = pad
			return certheader.Encode(certheader.Base64DER, m.certificate(forged))
		}
	}
	unit := attribute(oidUnit, "")
	name := func(name string, set func(room int) []byte) []shape {
		return []shape{
			{"issuer: " + name, one(func(room int) parts { return parts{issuer: tlv(tagSequence, set(room))} })},
			{"subject: " + name, one(func(room int) parts { return parts{subject: tlv(tagSequence, set(room))} })},
		}
	}
	key := func(key func(room int) []byte) func(room, pad int) string {
		return one(func(room int) parts { return parts{key: key(room)} })
	}
	extensions := func(list func(room int) []byte) func(room, pad int) string {
		return one(func(room int) parts { return parts{extensions: list(room)} })
	}
	sans := func(san []byte) func(room, pad int) string {
		return extensions(func(room int) []byte { return alternativeNames(room, san) })
	}
	return slices.Concat(
		[]shape{{"long extension", one(func(int) parts { return parts{} })}},
		name("one set of attributes", func(room int) []byte { return tlv(tagSet, repeat(room, unit)) }),
		name("one attribute in each set", func(room int) []byte { return repeat(room, tlv(tagSet, unit)) }),
		name("unknown types", func(room int) []byte {
			return tlv(tagSet, fill(room, func(i int) []byte { return attribute(oidOf(i, 5), "") }))
		}),
		name("one long OID", func(room int) []byte { return tlv(tagSet, attribute(slices.Repeat([]byte{0x2a}, room), "")) }),
		name("one long value", func(room int) []byte { return tlv(tagSet, attribute(oidUnit, strings.Repeat("<", room))) }),
		[]shape{
			{"many DNS names", sans(tlv(0x82, []byte("a")))},
			{"many mail addresses", sans(tlv(0x81, []byte("a@a")))},
			{"many URIs", sans(tlv(0x86, []byte("a:")))},
			{"many IP addresses", sans(tlv(0x87, []byte{1, 2, 3, 4}))},
			{"many extensions", extensions(manyExtensions)},
			{"many policies", extensions(func(room int) []byte {
				return extension([]byte{0x55, 0x1d, 0x20}, tlv(tagSequence, fill(room, func(i int) []byte { return tlv(tagSequence, tlv(tagOID, oidOf(i, 5))) })))
			})},
			{"huge RSA modulus", key(rsaKey)},
			{"weak intermediates", m.chain(func(room int) parts {
				return parts{algorithm: algorithmSHA1, extensions: basicCA(), subject: tlv(tagSequence, tlv(tagSet, repeat(room, unit)))}
			})},
			{"intermediates named as the CA, DNS names", m.chain(func(room int) parts {
				return parts{subject: m.issuer, extensions: slices.Concat(basicCA(), alternativeNames(room, tlv(0x82, []byte("a"))))}
			})},
			{"intermediates named as the CA, URIs", m.chain(func(room int) parts {
				return parts{subject: m.issuer, extensions: slices.Concat(basicCA(), alternativeNames(room, tlv(0x86, []byte("a:"))))}
			})},
			{"intermediates named as the CA, extensions", m.chain(func(room int) parts {
				return parts{subject: m.issuer, extensions: slices.Concat(basicCA(), manyExtensions(room))}
			})},
			{"intermediates with huge keys", m.chain(func(room int) parts {
				return parts{subject: m.issuer, extensions: basicCA(), key: rsaKey(room)}
			})},
		},
	)
}

func manyExtensions(room int) []byte {
	return fill(room, func(i int) []byte { return extension(oidOf(i, 5), nil) })
}

func alternativeNames(room int, name []byte) []byte {
	return extension([]byte{0x55, 0x1d, 0x11}, tlv(tagSequence, repeat(room, name)))
}

func basicCA() []byte {
	return extension([]byte{0x55, 0x1d, 0x13}, tlv(tagSequence, tlv(tagBoolean, []byte{0xff})))
}

func rsaKey(room int) []byte {
	algorithm := tlv(tagSequence, tlv(tagOID, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1}), []byte{5, 0})
	modulus := tlv(tagInteger, slices.Repeat([]byte{0x7f}, max(room, 256)))
	return tlv(tagSequence, algorithm, tlv(tagBits, []byte{0}, tlv(tagSequence, modulus, tlv(tagInteger, []byte{1, 0, 1}))))
}

// chain builds a plain leaf and three intermediates.
func (m mint) chain(p func(room int) parts) func(room, pad int) string {
	return func(room, pad int) string {
		values := []string{certheader.Encode(certheader.Base64DER, m.certificate(parts{pad: pad}))}
		for range 3 {
			values = append(values, certheader.Encode(certheader.Base64DER, m.certificate(p(room/3))))
		}
		return strings.Join(values, ",")
	}
}
