package agent

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"github.com/certgate/certgate/internal/tool/signing"
)

// refusal is an answer of the agent's own (RFC 9457). Its reasons begin with
// "agent_", so that they are no gateway's.
type refusal struct {
	status        int
	reason, title string
}

// invalid, hostUnknown and so on are all that an agent refuses for.
func invalid() *refusal {
	return &refusal{http.StatusBadRequest, "agent_request_invalid", "The agent cannot read the request"}
}

func unsigned() *refusal {
	return &refusal{http.StatusBadRequest, "agent_request_unsigned", "The request cannot be signed: its target and Content-Type have to be ASCII"}
}

func hostUnknown() *refusal {
	return &refusal{http.StatusMisdirectedRequest, "agent_host_unknown", "The agent is not known by this host name; it can be given with --name"}
}

func crossOrigin() *refusal {
	return &refusal{http.StatusForbidden, "agent_cross_origin", "The agent answers no web page of another origin"}
}

func bodyTooLarge() *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, "agent_body_too_large", "The request's body is larger than the agent signs"}
}

func unreachable() *refusal {
	return &refusal{http.StatusBadGateway, "agent_gateway_unreachable", "There is no connection to the gateway, and the request was not sent"}
}

func gatewayFailed() *refusal {
	return &refusal{http.StatusBadGateway, "agent_gateway_failed", "The gateway gave no answer, and may have received the request"}
}

func gatewayTimeout() *refusal {
	return &refusal{http.StatusGatewayTimeout, "agent_gateway_timeout", "The gateway gave no answer in time, and may have received the request"}
}

// refusal is what a certificate in this state has the agent answer, nil if it is
// usable.
func (s state) refusal() *refusal {
	switch s {
	case expired:
		return &refusal{http.StatusServiceUnavailable, "agent_certificate_expired", "The agent's certificate has expired"}
	case early:
		return &refusal{http.StatusServiceUnavailable, "agent_certificate_not_yet_valid", "The agent's certificate is not valid yet"}
	default:
		return nil
	}
}

// refusalOf tells what became of a request from the error of its sending, and
// whether there was a connection to send it on.
func refusalOf(err error, connected bool) *refusal {
	var timeout net.Error
	var body *bodyError
	switch {
	case errors.Is(err, signing.ErrBodyTooLarge):
		return bodyTooLarge()
	case errors.As(err, &body):
		return invalid()
	case errors.Is(err, signing.ErrUnsigned):
		return unsigned()
	case !connected:
		return unreachable()
	case errors.As(err, &timeout) && timeout.Timeout():
		return gatewayTimeout()
	default:
		return gatewayFailed()
	}
}

// write answers with the problem.
func (r *refusal) write(w http.ResponseWriter) {
	document, _ := json.Marshal(struct { // strings and a number have no error
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Reason string `json:"reason"`
	}{"urn:certgate:" + r.reason, r.title, r.status, r.reason})
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(r.status)
	_, _ = w.Write(append(document, '\n'))
}
