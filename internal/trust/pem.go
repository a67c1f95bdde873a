package trust

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
)

var pemBegin = []byte("-----BEGIN ")

// plainPEM undoes what .env files and dashboards do to a PEM: newlines as the
// two characters \n (or \r\n), or base64 around the whole.
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
	return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), nil
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
