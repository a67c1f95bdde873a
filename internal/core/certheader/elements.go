package certheader

// maxElements bounds the ASN.1 elements of all certificates in one header. A chain
// of four certificates has about 300, and one with 100 alternative names 500. What
// crypto/x509 spends on a certificate grows with the number of its elements: the
// 5,000 names that fit into 16 KiB cost as much as 20 signatures.
const maxElements = 600

// elementCount counts the elements of DER that it has walked.
type elementCount int

// walk counts every element in der. It looks into SEQUENCE, SET and the context
// tags, and into an OCTET STRING that holds a SEQUENCE, as those of extensions do.
// An OBJECT IDENTIFIER counts once more for each 16 bytes, because crypto/x509 makes
// a number of each byte.
// It stops at the first encoding that crypto/x509 does not read either, and when
// there are more than [maxElements].
func (n *elementCount) walk(der []byte) {
	const constructed, octetString, objectID, sequence, perNumbers = 0x20, 4, 6, 0x30, 16
	for len(der) > 0 && *n <= maxElements {
		content, rest, ok := cutElement(der)
		if !ok {
			return
		}
		*n++
		switch {
		case der[0] == objectID:
			*n += elementCount(len(content) / perNumbers)
		case der[0]&constructed != 0, der[0] == octetString && len(content) > 0 && content[0] == sequence:
			n.walk(content)
		}
		der = rest
	}
}

// cutElement splits der after its first element. A tag number above 30 and a length
// of more than three bytes are not read: no certificate that fits a header has one.
func cutElement(der []byte) (content, rest []byte, ok bool) {
	if len(der) < 2 || der[0]&0x1f == 0x1f {
		return nil, nil, false
	}
	length, der := int(der[1]), der[2:]
	if length >= 0x80 {
		octets := length - 0x80
		if octets == 0 || octets > 3 || len(der) < octets {
			return nil, nil, false
		}
		length = 0
		for _, b := range der[:octets] {
			length = length<<8 | int(b)
		}
		der = der[octets:]
	}
	if len(der) < length {
		return nil, nil, false
	}
	return der[:length], der[length:], true
}

// countElements returns the number of elements in the certificates. It stops soon
// after it has found more than [maxElements].
func countElements(ders [][]byte) int {
	var n elementCount
	for _, der := range ders {
		n.walk(der)
	}
	return int(n)
}
