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
	// maxRequests bounds what one run sends.
	maxRequests = 80
	// maxAnswer bounds what is read of one answer, in bytes.
	maxAnswer = 256 << 10
)

// canary is one request. Its zero value has nothing but the certificate.
type canary struct {
	// behind is what stands behind the echo's path, query included.
	behind string
	// header is what is sent beside the certificate; the names as they stand.
	header http.Header
	// credential is sent instead of the certificate in the form that passes.
	credential string
}

// with is a canary with one header of one line.
func with(name, value string) canary { return canary{header: http.Header{name: {value}}} }

// arrival is what became of a canary.
type arrival struct {
	answer   *echo.Answer   // nil: the echo did not answer
	response *http.Response // without a body; nil: nobody answered
	reason   string         // of the gateway's refusal; empty: it was not the gateway
	err      error          // why nobody answered
}

// send asks once.
func (e *examination) send(ctx context.Context, c canary) arrival {
	if e.sent++; e.sent > maxRequests {
		return arrival{err: errors.New("enough requests were sent")}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL.String(), http.NoBody)
	if err != nil {
		return arrival{err: err}
	}
	// Opaque goes into the request line as it is.
	req.URL.Opaque, req.URL.RawQuery, _ = strings.Cut(e.target(c), "?")
	maps.Copy(req.Header, c.header)
	if c.credential == "" {
		c.credential = e.value(e.form)
	}
	req.Header[e.Header] = []string{c.credential}
	res, err := e.Client.Do(req)
	if err != nil {
		if outer, ok := errors.AsType[*url.Error](err); ok {
			err = outer.Err // without the address, which everybody knows
		}
		return arrival{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return arrival{err: err}
	}
	a := read(res, body)
	if a.answer != nil {
		e.peers = append(e.peers, a.answer.Peer)
	}
	return a
}

// target is the request target of a canary.
func (e *examination) target(c canary) string { return e.URL.EscapedPath() + c.behind }

func read(res *http.Response, body []byte) arrival {
	a := arrival{response: res}
	var answer echo.Answer
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

// status is 0 when nobody answered.
func (a arrival) status() int {
	if a.response == nil {
		return 0
	}
	return a.response.StatusCode
}

// refusal says who answered in place of the echo, and what.
func (a arrival) refusal() string {
	switch {
	case a.response == nil:
		return fmt.Sprintf("there is no answer (%v)", a.err)
	case a.reason != "":
		return fmt.Sprintf("the gateway refuses the request with %d %.40q", a.status(), a.reason)
	default:
		return fmt.Sprintf("the load balancer answers %d", a.status())
	}
}
