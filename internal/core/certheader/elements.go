package certheader

// maxElements is the maximum number of ASN.1 elements in all certificates of one header,
// as elementCount counts them. A chain of four certificates has about 350 elements, and the
// longest chain of public websites in x509-limbo, with 163 alternative names, 626. The time
// that crypto/x509 needs grows with the number of elements: the 5,000 names that fit into
// 16 KiB cost as much as 20 signature checks.
const maxElements = 650

// elementCount is the number of elements counted so far.
type elementCount int

// walk counts every element in der. It descends into SEQUENCE, SET and context tags, and
// into an OCTET STRING that contains a SEQUENCE, as in extensions. Elements that
// crypto/x509 decodes into more than bytes count more: an OBJECT IDENTIFIER twice and once
// more for each 8 bytes, and a URI twice. walk stops after [maxElements] and at an encoding
// that crypto/x509 does not read.
func (n *elementCount) walk(der []byte) {
	const constructed, octetString, objectID, sequence, uri, perNumbers = 0x20, 4, 6, 0x30, 0x86, 8
	for len(der) > 0 && *n <= maxElements {
		content, rest, ok := cutElement(der)
		if !ok {
			return
		}
		*n++
		switch {
		case der[0] == objectID:
			*n += elementCount(1 + len(content)/perNumbers)
		case der[0] == uri: // in a GeneralName (RFC 5280, section 4.2.1.6)
			*n++
		case der[0]&constructed != 0, der[0] == octetString && len(content) > 0 && content[0] == sequence:
			n.walk(content)
		}
		der = rest
	}
}

// cutElement splits der after its first element. Tag numbers above 30 and lengths of more
// than three bytes do not occur in certificates that fit into a header, and are refused.
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
