package trust

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
)

var (
	pemBegin = []byte("-----BEGIN ")
	pemEnd   = []byte("-----END ")
)

// normalizePEM restores the newlines of PEM that passed through .env files, shells or
// dashboards: literal \n or \r\n sequences, a single space for each newline, or base64 of
// the whole PEM.
func normalizePEM(text []byte) ([]byte, error) {
	// TrimSpace would remove leading newlines, and errors contain line numbers.
	text = bytes.Trim(text, " \t")
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, errors.New("want 1 to 8 PEM blocks, found nothing")
	}
	if !bytes.Contains(text, pemBegin) {
		decoded, err := unwrapBase64(text)
		if err != nil {
			return nil, err
		}
		text = decoded
	}
	text = bytes.ReplaceAll(text, []byte(`\r\n`), []byte("\n"))
	text = bytes.ReplaceAll(text, []byte(`\n`), []byte("\n"))
	return restoreLineBreaks(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))), nil
}

// restoreLineBreaks restores PEM in which every newline became a single space, as an
// unquoted $KEY in a shell does. It returns other text unchanged: PEM that contains a
// newline, two spaces in a row or text between the blocks. A comment could not be
// separated from the block after it.
func restoreLineBreaks(text []byte) []byte {
	rest := bytes.TrimSpace(text)
	if bytes.ContainsAny(rest, "\r\n\t") || bytes.Contains(rest, []byte("  ")) {
		return text
	}
	var lines []byte
	for {
		block, after, ok := restoreBlock(rest)
		if !ok {
			return text
		}
		lines = append(lines, block...)
		if len(after) == 0 {
			return lines
		}
		if rest, ok = bytes.CutPrefix(after, []byte(" ")); !ok {
			return text
		}
	}
}

// restoreBlock restores one block at the start of text. Only the spaces in its body and
// after its BEGIN line were newlines.
func restoreBlock(text []byte) (block, after []byte, ok bool) {
	text, ok = bytes.CutPrefix(text, pemBegin)
	if !ok {
		return nil, nil, false
	}
	label, text, _ := bytes.Cut(text, []byte("----- "))
	body, text, _ := bytes.Cut(text, pemEnd)
	tail, after, ok := bytes.Cut(text, []byte("-----"))
	if !ok {
		return nil, nil, false
	}
	body = bytes.ReplaceAll(body, []byte(" "), []byte("\n"))
	return bytes.Join([][]byte{pemBegin, label, []byte("-----\n"), body, pemEnd, tail, []byte("-----\n")}, nil), after, true
}

func unwrapBase64(text []byte) ([]byte, error) {
	// Fields removes the newlines that base64(1) inserts.
	joined := bytes.Join(bytes.Fields(text), nil)
	decoded, err := base64.StdEncoding.Strict().DecodeString(string(joined))
	if err != nil || !bytes.Contains(decoded, pemBegin) {
		return nil, errors.New(`want PEM ("-----BEGIN PUBLIC KEY-----" …) or its base64, found neither`)
	}
	return decoded, nil
}

type numberedBlock struct {
	block *pem.Block
	line  int
}

// splitPEM returns all PEM blocks of a text. Text outside blocks, damaged blocks and PEM
// headers are errors, whereas pem.Decode skips damaged blocks. A key that was silently
// missing in a keyring would cause an outage or an incomplete rotation.
func splitPEM(text []byte) ([]numberedBlock, error) {
	var blocks []numberedBlock
	line := 1
	for len(text) > 0 {
		if n := skippableBytes(text); n > 0 {
			line += bytes.Count(text[:n], []byte("\n"))
			text = text[n:]
			continue
		}
		if !bytes.HasPrefix(text, pemBegin) {
			return nil, fmt.Errorf("line %d: want a PEM block, found other text", line)
		}
		block, rest := pem.Decode(text)
		used := text[:len(text)-len(rest)]
		if block == nil || bytes.Count(used, pemBegin) != 1 {
			return nil, fmt.Errorf("block %d (line %d): want a complete PEM block, found a damaged one", len(blocks)+1, line)
		}
		if len(block.Headers) > 0 {
			return nil, fmt.Errorf("block %d (line %d): want a PEM block without headers, found headers", len(blocks)+1, line)
		}
		blocks = append(blocks, numberedBlock{block, line})
		line += bytes.Count(used, []byte("\n"))
		text = rest
	}
	if len(blocks) == 0 {
		return nil, errors.New("want 1 to 8 PEM blocks, found none")
	}
	return blocks, nil
}

// skippableBytes returns the length of the blank or comment line at the start of text,
// or 0.
func skippableBytes(text []byte) int {
	line := text
	n := len(text)
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		line, n = text[:i], i+1
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' {
		return n
	}
	return 0
}
