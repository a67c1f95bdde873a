package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/certgate/certgate/internal/surface/echo"
)

const (
	// maxRequests is the limit for the requests of one run.
	maxRequests = 80
	// maxResponse is the limit for a response, in bytes.
	maxResponse = 256 << 10
)

// canary is one request. Its zero value sends the certificate only.
type canary struct {
	// suffix is appended to the path of the echo. It may contain a query.
	suffix string
	// header is sent in addition to the certificate. Its names are sent unchanged.
	header http.Header
	// credential is the value of the credential header. If empty, the certificate is sent
	// in a form that the gateway accepts.
	credential string
}

// with returns a canary with one header of one line.
func with(name, value string) canary { return canary{header: http.Header{name: {value}}} }

// result is the outcome of a canary.
type result struct {
	answer   *echo.Response // the echo, or nil if another program responded
	response *http.Response // without its body, or nil if there was no response
	reason   string         // of the gateway's refusal, or "" if another program responded
	err      error          // why there was no response
}

// send sends a canary.
func (e *examination) send(ctx context.Context, c canary) result {
	if e.sent++; e.sent > maxRequests {
		return result{err: errors.New("the limit of requests is reached")}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL.String(), http.NoBody)
	if err != nil {
		return result{err: err}
	}
	// net/http sends an opaque URL unchanged.
	req.URL.Opaque, req.URL.RawQuery, _ = strings.Cut(e.target(c), "?")
	maps.Copy(req.Header, c.header)
	if c.credential == "" {
		c.credential = e.value(e.form)
	}
	req.Header[e.Header] = []string{c.credential}
	res, err := e.Client.Do(req)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err // without the URL, which the operator knows
		}
		return result{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxResponse))
	if err != nil {
		return result{err: err}
	}
	a := readResult(res, body)
	if a.answer != nil {
		e.peers = append(e.peers, a.answer.Peer)
	}
	return a
}

// target returns the request target of a canary.
func (e *examination) target(c canary) string { return e.URL.EscapedPath() + c.suffix }

func readResult(res *http.Response, body []byte) result {
	a := result{response: res}
	var answer echo.Response
	if json.Unmarshal(body, &answer) == nil && answer.Version == echo.Version && res.StatusCode == http.StatusOK {
		a.answer = &answer
		return a
	}
	var problem struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
	if json.Unmarshal(body, &problem) == nil && problem.Type == "urn:certgate:"+problem.Reason {
		a.reason = problem.Reason
	}
	return a
}

// status returns the status of the response, or 0 if there was none.
func (a result) status() int {
	if a.response == nil {
		return 0
	}
	return a.response.StatusCode
}

// describe describes a response that is not the echo's.
func (a result) describe() string {
	switch {
	case a.response == nil:
		return fmt.Sprintf("there is no response (%v)", a.err)
	case a.reason != "":
		return fmt.Sprintf("the gateway refuses the request with %d %.40q", a.status(), a.reason)
	default:
		return fmt.Sprintf("the load balancer responds with %d", a.status())
	}
}
