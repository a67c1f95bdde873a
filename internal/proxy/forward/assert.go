package forward

import (
	"github.com/certgate/certgate/internal/core/refusal"
	"github.com/certgate/certgate/internal/http1/client"
	"github.com/certgate/certgate/internal/proxy/assertion"
)

// assert makes the assertion about the request, if assertions are configured. A request
// without one is never sent in that case.
func (f *Forwarder) assert(out *outboundRequest) *refusal.Error {
	signer := f.signer()
	if signer == nil {
		return nil
	}
	token, err := signer.Assert(out.g, out.metadata.Auth, contentOf(out))
	out.assertion = token
	if refused := refusal.Of(err); refused != nil || err == nil {
		return refused
	}
	return refusal.New(refusal.Internal, "%v", err)
}

// contentOf returns the content of the request, if all of it is in memory.
func contentOf(out *outboundRequest) assertion.Content {
	if out.buffered != nil {
		if content, complete := out.buffered.Body(); complete {
			return assertion.Content{Bytes: content, Complete: true}
		}
	}
	if out.small != nil {
		return assertion.Content{Bytes: out.small, Complete: true}
	}
	content, complete := out.body.Held()
	return assertion.Content{Bytes: content, Complete: complete}
}

// holdBound holds a small body that is not buffered, if assertions contain the digest of the
// body. Both HTTP clients then send the same assertion.
func (f *Forwarder) holdBound(out *outboundRequest) error {
	if n := out.body.Length(); n <= 0 || n > client.MaxBuffered || !f.signer().Binds() {
		return nil
	}
	_, err := out.body.Hold(out.client)
	return err
}
