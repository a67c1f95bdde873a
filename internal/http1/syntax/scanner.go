package syntax

import "bytes"

// Scanner finds lines in bytes that arrive in parts: each call gets all bytes from the first one
// on. The zero value is at the first byte.
type Scanner struct {
	start, searched int // the line that has not ended, and the bytes without an end of it

	Longest Line // of the lines that Head has found
}

// Line is the place of a line without its CRLF.
type Line struct{ Start, End int }

// Line returns the end of the next line, after its CRLF, or 0 while that has not arrived. ok is
// false when the line ends in a bare line feed.
func (s *Scanner) Line(b []byte) (end int, ok bool) {
	i := bytes.IndexByte(b[s.searched:], '\n')
	if i < 0 {
		s.searched = len(b)
		return 0, true
	}
	i += s.searched
	s.searched, s.start = i+1, i+1
	return i + 1, i > 0 && b[i-1] == '\r'
}

// Head returns the end of the header (RFC 9112, section 2.1), after its empty line, or 0 while
// that has not arrived. The first line is part of the header even if it is empty. ok is false
// when a line ends in a bare line feed.
func (s *Scanner) Head(b []byte) (end int, ok bool) {
	for {
		start := s.start
		end, ok = s.Line(b)
		switch line := (Line{start, end - 2}); {
		case end == 0 || !ok || line.Start == line.End && start > 0:
			return end, ok
		case line.End-line.Start > s.Longest.End-s.Longest.Start:
			s.Longest = line
		}
	}
}
