package headers

// Fold returns the common form of all spellings of a field name that an upstream server
// may treat as the same name. It ignores letter case. CGI and WSGI map "-" to "_", PHP
// maps "." to "_", and lighttpd maps every byte that is neither a letter nor a digit.
// Fold therefore maps each of these bytes to "-". The result has as many bytes as name.
func Fold(name string) string {
	folded := []byte(name)
	for i, c := range folded {
		folded[i] = foldByte(c)
	}
	return string(folded)
}

// Same reports whether Fold(a) and Fold(b) are equal. It does not allocate.
func Same(a, b string) bool { return len(a) == len(b) && sameBytes(a, b) }

// sameBytes is Same for names of the same length. Without it, the compiler would not inline Same.
func sameBytes(a, b string) bool {
	for i := range len(a) {
		if a[i] != b[i] && foldByte(a[i]) != foldByte(b[i]) {
			return false
		}
	}
	return true
}

// foldInto writes Fold(name) into the buffer and returns it. It truncates the result to
// the size of the buffer.
func foldInto(buffer *[maxPattern]byte, name string) []byte {
	n := min(len(name), len(buffer))
	for i := range n {
		buffer[i] = foldByte(name[i])
	}
	return buffer[:n]
}

func foldByte(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	default:
		return '-'
	}
}

// equalFold reports whether two names are equal apart from ASCII case.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerByte(a[i]) != lowerByte(b[i]) {
			return false
		}
	}
	return true
}

func lowerByte(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
