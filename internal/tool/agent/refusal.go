package agent

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"github.com/certgate/certgate/internal/tool/signing"
)

// refusal is a response of the agent itself, as a problem document (RFC 9457). Its
// reasons begin with "agent_", so they cannot be confused with the gateway's.
type refusal struct {
	status        int
	reason, title string
}

// The following functions return every refusal of an agent.

func requestInvalid() *refusal {
	return &refusal{http.StatusBadRequest, "agent_request_invalid", "The agent cannot read the request"}
}

func requestUnsigned() *refusal {
	return &refusal{http.StatusBadRequest, "agent_request_unsigned", "The request cannot be signed: its target and Content-Type must be ASCII"}
}

func hostUnknown() *refusal {
	return &refusal{http.StatusMisdirectedRequest, "agent_host_unknown", "The agent does not know this host name; it can be added with --name"}
}

func crossOrigin() *refusal {
	return &refusal{http.StatusForbidden, "agent_cross_origin", "The agent refuses requests of web pages of another origin"}
}

func bodyTooLarge() *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, "agent_body_too_large", "The body of the request is larger than the agent's limit"}
}

func gatewayUnreachable() *refusal {
	return &refusal{http.StatusBadGateway, "agent_gateway_unreachable", "The agent cannot connect to the gateway; the request was not sent"}
}

func gatewayFailed() *refusal {
	return &refusal{http.StatusBadGateway, "agent_gateway_failed", "The gateway sent no response; it may have received the request"}
}

func gatewayTimeout() *refusal {
	return &refusal{http.StatusGatewayTimeout, "agent_gateway_timeout", "The gateway sent no response in time; it may have received the request"}
}

func certificateExpired() *refusal {
	return &refusal{http.StatusServiceUnavailable, "agent_certificate_expired", "The agent's certificate has expired"}
}

func certificateNotYetValid() *refusal {
	return &refusal{http.StatusServiceUnavailable, "agent_certificate_not_yet_valid", "The agent's certificate is not valid yet"}
}

// refusalOf returns the refusal for an error of forwarding. connected reports whether
// there was a connection to the gateway, so that the request may have been sent.
func refusalOf(err error, connected bool) *refusal {
	var timeout net.Error
	var body *bodyError
	switch {
	case errors.Is(err, signing.ErrBodyTooLarge):
		return bodyTooLarge()
	case errors.As(err, &body):
		return requestInvalid()
	case errors.Is(err, signing.ErrUnsigned):
		return requestUnsigned()
	case !connected:
		return gatewayUnreachable()
	case errors.As(err, &timeout) && timeout.Timeout():
		return gatewayTimeout()
	default:
		return gatewayFailed()
	}
}

// write sends the refusal as the response.
func (r *refusal) write(w http.ResponseWriter) {
	document, _ := json.Marshal(struct { // strings and a number always marshal
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
