package httpsig

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/certgate/certgate/internal/core/refusal"
)

// maxQueryParams bounds the queries of which single parameters can be covered: it
// costs the same for a signature that nobody made.
const maxQueryParams = 256

// queryParam is the value of a query parameter, encoded, and how often the query
// has that parameter.
type queryParam struct {
	value string
	times int
}

// readQuery decodes a query as application/x-www-form-urlencoded and encodes names
// and values again, so that each has one spelling (RFC 9421, section 2.2.8).
func readQuery(query string) (map[string]queryParam, error) {
	if n := strings.Count(query, "&") + 1; n > maxQueryParams {
		return nil, refusal.New(refusal.ProofMalformed, "want at most %d query parameters for %s, found %d", maxQueryParams, namedQuery, n)
	}
	params := map[string]queryParam{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, err := recode(rawName)
		if err != nil {
			return nil, err
		}
		value, err := recode(rawValue)
		if err != nil {
			return nil, err
		}
		params[name] = queryParam{value: value, times: params[name].times + 1}
	}
	return params, nil
}

// only is the value of the only parameter of that name.
func only(params map[string]queryParam, name string) (string, error) {
	switch p := params[name]; p.times {
	case 0:
		return "", refusal.New(refusal.ProofIncomplete, "want the covered query parameter %.80q in the request, found none", name)
	case 1:
		return p.value, nil
	default:
		return "", refusal.New(refusal.ProofMalformed, "want the covered query parameter %.80q once, found it %d times", name, p.times)
	}
}

// formEncoding is where [url.QueryEscape] differs from the encoding of RFC 9421.
var formEncoding = strings.NewReplacer("+", "%20", "%2A", "*", "~", "%7E")

func recode(part string) (string, error) {
	plain, err := url.QueryUnescape(part)
	if err != nil || !utf8.ValidString(plain) {
		return "", refusal.New(refusal.ProofMalformed, "want a query that can be decoded for %s", namedQuery)
	}
	return formEncoding.Replace(url.QueryEscape(plain)), nil
}
