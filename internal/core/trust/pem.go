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

// plainPEM undoes what .env files, shells and dashboards do to a PEM: newlines as
// the two characters \n (or \r\n) or as single spaces, or base64 around the whole.
func plainPEM(text []byte) ([]byte, error) {
	// Not TrimSpace: the lines are counted for the errors.
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
	return unspaced(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))), nil
}

// unspaced restores the line breaks of PEM in which each one became a single space,
// as an unquoted $KEY in a shell does. It returns every other text unchanged: PEM
// with a line break of its own, with two spaces in a row, or with text between the
// blocks. A comment would have no end there.
func unspaced(text []byte) []byte {
	rest := bytes.TrimSpace(text)
	if bytes.ContainsAny(rest, "\r\n\t") || bytes.Contains(rest, []byte("  ")) {
		return text
	}
	var lines []byte
	for {
		block, after, ok := unspacedBlock(rest)
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

// unspacedBlock reads one block at the start of text. Only the spaces of its body
// and behind its BEGIN line were line breaks.
func unspacedBlock(text []byte) (block, after []byte, ok bool) {
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
	// Fields drops the line breaks that base64(1) puts in.
	joined := bytes.Join(bytes.Fields(text), nil)
	decoded, err := base64.StdEncoding.Strict().DecodeString(string(joined))
	if err != nil || !bytes.Contains(decoded, pemBegin) {
		return nil, errors.New(`want PEM ("-----BEGIN PUBLIC KEY-----" …) or the base64 of it, found neither`)
	}
	return decoded, nil
}

type numberedBlock struct {
	block *pem.Block
	line  int
}

// splitPEM is strict where pem.Decode is not: text outside blocks, a block that
// pem.Decode would skip and PEM headers are all errors. A key silently lost
// from a keyring is an outage or, worse, a half-finished rotation.
func splitPEM(text []byte) ([]numberedBlock, error) {
	var blocks []numberedBlock
	line := 1
	for len(text) > 0 {
		if n := skippable(text); n > 0 {
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
			return nil, fmt.Errorf("block %d (line %d): want a whole PEM block, found a damaged one", len(blocks)+1, line)
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

// skippable is the length of one blank or comment line at the start of text.
func skippable(text []byte) int {
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
