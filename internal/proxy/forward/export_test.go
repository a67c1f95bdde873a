package forward

import "crypto/x509"

// WithoutLean sends plain requests through net/http, too.
func (f *Forwarder) WithoutLean() { f.lean = nil }

// TrustRoots has the services with TLS verified by these roots.
func (f *Forwarder) TrustRoots(roots *x509.CertPool) {
	d := newDialer(f.transport.ResponseHeaderTimeout)
	d.tls.RootCAs = roots
	f.transport.DialTLSContext = d.secure
}

// BoundHeld sets how many bytes of bodies may be held at once.
func (f *Forwarder) BoundHeld(most int64) {
	f.room.mu.Lock()
	defer f.room.mu.Unlock()
	f.room.most = most
}

// Held is how many bytes are.
func (f *Forwarder) Held() int64 {
	f.room.mu.Lock()
	defer f.room.mu.Unlock()
	return f.room.taken
}

// MostHeld is how many bytes a new Forwarder holds at most.
func (f *Forwarder) MostHeld() int64 { return f.room.most }
