package forward

import (
	"github.com/certgate/certgate/internal/proxy/body"
)

// UseTransport makes f send all requests with net/http's transport.
func (f *Forwarder) UseTransport() { f.clients = nil }

// Budget returns the budget of held bodies.
func (f *Forwarder) Budget() *body.Budget { return f.bodies.Budget }
