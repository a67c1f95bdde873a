package headers

// Fold returns the form that all spellings of a field name share if any server
// behind certgate may treat them as one name. Letter case does not count. CGI and
// WSGI map "-" to "_", PHP maps "." to "_", and lighttpd maps every byte that is
// neither a letter nor a digit. Fold therefore maps each of these bytes to "-".
// The result has as many bytes as name.
func Fold(name string) string {
	folded := []byte(name)
	for i, c := range folded {
		folded[i] = foldByte(c)
	}
	return string(folded)
}

// Same reports whether Fold(a) and Fold(b) are equal. It does not allocate.
func Same(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if foldByte(a[i]) != foldByte(b[i]) {
			return false
		}
	}
	return true
}

// foldInto writes as much of Fold(name) into the buffer as fits and returns it.
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

// equalFold compares two names without regard to ASCII case.
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
