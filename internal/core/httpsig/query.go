package httpsig

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/certgate/certgate/internal/core/refusal"
)

// maxQueryParams is the maximum number of parameters in a query if a signature covers
// @query-param. It limits the work for requests with invalid signatures.
const maxQueryParams = 256

// queryParam is the encoded value of a query parameter and the number of times that the
// parameter occurs in the query.
type queryParam struct {
	value string
	times int
}

// readQuery decodes a query as application/x-www-form-urlencoded and encodes names
// and values again, which gives each a canonical form (RFC 9421, section 2.2.8).
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

// singleValue returns the value of the parameter with that name, which must occur exactly once.
func singleValue(params map[string]queryParam, name string) (string, error) {
	switch p := params[name]; p.times {
	case 0:
		return "", refusal.New(refusal.ProofIncomplete, "want the covered query parameter %.80q in the request, found none", name)
	case 1:
		return p.value, nil
	default:
		return "", refusal.New(refusal.ProofMalformed, "want the covered query parameter %.80q once, found it %d times", name, p.times)
	}
}

// formEncoding converts the output of [url.QueryEscape] to the encoding of RFC 9421.
var formEncoding = strings.NewReplacer("+", "%20", "%2A", "*", "~", "%7E")

// recode decodes a name or value and encodes it in the canonical form.
func recode(part string) (string, error) {
	decoded, err := url.QueryUnescape(part)
	if err != nil || !utf8.ValidString(decoded) {
		return "", refusal.New(refusal.ProofMalformed, "want a query that can be decoded for %s", namedQuery)
	}
	return formEncoding.Replace(url.QueryEscape(decoded)), nil
}
