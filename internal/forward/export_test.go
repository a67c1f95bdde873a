package forward

// WithoutLean sends plain requests through net/http, too.
func (f *Forwarder) WithoutLean() { f.lean = nil }
