// Package status shows operators what is in force in a gateway, which clients and keys are
// in use, and what was refused: as an HTML page and as JSON.
//
// Both are rendered from one [Status]. It contains no credential, key or signature. Its
// texts are untrusted: the page escapes them, and characters that are not printable, such
// as those that change the direction of text, are written as \uXXXX.
package status

import "time"

// Status is a snapshot of a gateway. Zero times mean never.
type Status struct {
	Time     time.Time `json:"time"`
	Version  string    `json:"version"`
	Commit   string    `json:"commit,omitempty"`
	Started  time.Time `json:"started"`
	Ready    bool      `json:"ready"`
	NotReady string    `json:"not_ready,omitempty"` // why /readyz responds with 503
	// Notices lists what needs the operator's attention, errors first. The handler sets it.
	Notices       []Notice      `json:"notices"`
	Configuration Configuration `json:"configuration"`
	Observation   Observation   `json:"observation"`
	Keys          []Key         `json:"keys"`
	// Clients is sorted by what needs attention; the handler sorts it.
	Clients  []Client  `json:"clients"`
	Refusals []Refusal `json:"refusals"` // the newest first
	// NextRules is what the next rules would change, or nil without next rules.
	NextRules *NextRules `json:"next_rules,omitempty"`
	Upstream  []Address  `json:"upstream"`
	Limits    []Limit    `json:"limits"`
	// LogLinesLost counts the log lines that were dropped since the start.
	LogLinesLost uint64 `json:"log_lines_lost"`
	Redis        *Redis `json:"redis,omitempty"` // nil without Redis
}

// Notice is a fact that needs the operator's attention.
type Notice struct {
	Level   Level  `json:"level"`
	Section string `json:"section"` // of the page, such as "clients"
	Text    string `json:"text"`
}

// Level is the urgency of a notice.
type Level string

// The levels.
const (
	Error   Level = "error"
	Warning Level = "warning"
	Info    Level = "info"
)

// Configuration is what is in force.
type Configuration struct {
	Digest   string    `json:"digest"` // of all parts; gateways with equal digests make equal decisions
	Sources  []Source  `json:"sources"`
	CRLs     []CRL     `json:"crls"`
	Rules    []Rule    `json:"rules"`
	Deny     []Denial  `json:"deny"`
	Settings []Setting `json:"settings"`
}

// Source is a part of the configuration with the result of its latest load.
type Source struct {
	Name     string    `json:"name"`     // as in metrics, such as "rules"
	Variable string    `json:"variable"` // that sets the content or names the files
	Files    []string  `json:"files"`    // empty for an inline value
	Parts    []Part    `json:"parts"`
	Loaded   time.Time `json:"loaded"`           // when the content in force was loaded
	Tried    time.Time `json:"tried"`            // when the latest content was read
	Result   string    `json:"result"`           // "ok" or "failed"
	Error    string    `json:"error,omitempty"`  // of a failed load; the content of Loaded stays in force
	Expires  time.Time `json:"expires,omitzero"` // end of the gateway's own certificate
}

// Part is a part of the content of a source.
type Part struct {
	Name   string `json:"name"` // such as "denials"
	Count  int    `json:"count"`
	Digest string `json:"digest"`
}

// CRL is a revocation list in force.
type CRL struct {
	KeyID      string    `json:"key_id"`
	Count      int       `json:"count"`
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update"`
}

// Rule is an access rule with its use.
type Rule struct {
	Name    string    `json:"name"`
	Clients []string  `json:"clients"` // "*" is every verified client
	Allow   []string  `json:"allow"`
	Rate    string    `json:"rate,omitempty"`
	Burst   string    `json:"burst,omitempty"`
	Proof   string    `json:"proof"` // of the rule, or the default of AUTH_PROOF
	Uses    uint64    `json:"uses"`
	LastUse time.Time `json:"last_use,omitzero"`
}

// Denial is an entry of the deny list.
type Denial struct {
	Entry  string `json:"entry"` // such as `client "social"` or "serial 4f3a09"
	Reason string `json:"reason,omitempty"`
}

// Setting is an environment variable without secrets.
type Setting struct {
	Name    string `json:"name"`
	Group   string `json:"group"`
	Value   string `json:"value"`
	Default bool   `json:"default"` // whether the variable is not set
}

// Observation describes what keys, clients and the uses of rules are based on.
type Observation struct {
	Since time.Time `json:"since"`
	// Shared reports whether replicas share the inventory in Redis. Otherwise it has the
	// requests of this process only.
	Shared       bool      `json:"shared"`
	Replicas     int       `json:"replicas"`
	Synchronized time.Time `json:"synchronized,omitzero"`
	SyncError    string    `json:"sync_error,omitempty"`
	// Forgotten is the number of clients that were dropped because there were too many.
	Forgotten uint64 `json:"forgotten"`
	// RefusalsDropped is the number of refusals that are no longer among the latest.
	RefusalsDropped uint64 `json:"refusals_dropped"`
}

// Key is a trusted key with its use.
type Key struct {
	ID        string    `json:"id"`
	Algorithm string    `json:"algorithm"`
	Subject   string    `json:"subject,omitempty"` // of a CA certificate
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	// Scoped reports whether the rules restrict the clients that the key may name. Such a
	// key is not part of a rotation.
	Scoped      bool      `json:"scoped"`
	Since       time.Time `json:"since"` // when the observation of the key began
	FirstUse    time.Time `json:"first_use,omitzero"`
	LastUse     time.Time `json:"last_use,omitzero"`
	Clients     int       `json:"clients"`
	ClientNames []string  `json:"client_names"` // the first ones
	// Old and Removable are set by the handler.
	Old       bool `json:"old"`
	Removable bool `json:"removable"`
}

// Client is a client whose certificate a trusted key signed.
type Client struct {
	Name         string        `json:"name"`
	Attention    []Attention   `json:"attention"` // set by the handler
	LastSeen     time.Time     `json:"last_seen"`
	Bearer       time.Time     `json:"bearer,omitzero"` // latest request with this level
	Signed       time.Time     `json:"signed,omitzero"`
	MTLS         time.Time     `json:"mtls,omitzero"`
	Certificates []Certificate `json:"certificates"` // in use, the latest used first
	Allowed      uint64        `json:"allowed"`
	Refused      uint64        `json:"refused"`
	LastRefusal  time.Time     `json:"last_refusal,omitzero"`
	LastReason   string        `json:"last_reason,omitempty"`
	Rules        []ClientRule  `json:"rules"`
}

// Attention is why a client needs the operator's attention.
type Attention string

// The reasons, the most urgent first.
const (
	Expired   Attention = "expired"    // a certificate in use has ended
	Expiring  Attention = "expiring"   // a certificate in use ends within 14 days
	SharedKey Attention = "shared_key" // a certificate in use contains the master key
	OldKey    Attention = "old_key"    // signed by a key that a newer one has replaced
)

// Certificate is a certificate that a client uses.
type Certificate struct {
	Serial    string    `json:"serial"`
	KeyID     string    `json:"key_id"`
	NotAfter  time.Time `json:"not_after"`
	LastUse   time.Time `json:"last_use"`
	SharedKey bool      `json:"shared_key"`
}

// ClientRule is the use of a rule by a client.
type ClientRule struct {
	Name string `json:"name"`
	Uses uint64 `json:"uses"`
	// RateUsed is the used part of the client's bucket, from 0 to 1, or nil for a rule
	// without a rate.
	RateUsed *float64 `json:"rate_used,omitempty"`
}

// Refusal is a refused or failed request. It never contains a credential.
type Refusal struct {
	Time      time.Time `json:"time"`
	Surface   string    `json:"surface,omitempty"`
	RequestID string    `json:"request_id"`
	Client    string    `json:"client,omitempty"` // verified, or empty
	Source    string    `json:"source,omitempty"`
	Method    string    `json:"method,omitempty"`
	Path      string    `json:"path,omitempty"` // without the query
	Status    int       `json:"status,omitempty"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail,omitempty"`
	TraceID   string    `json:"trace_id,omitempty"`
	SpanID    string    `json:"span_id,omitempty"`
}

// Address is an address of the upstream.
type Address struct {
	Name     string `json:"name"`
	Up       bool   `json:"up"`       // false while the circuit breaker or health checks keep it out
	Failures int64  `json:"failures"` // consecutive requests without a response
	InFlight int    `json:"requests_in_flight"`
	// Attempts is the number of requests that Median and P99 are based on, in seconds.
	Attempts int     `json:"recent_attempts"`
	Median   float64 `json:"recent_median_seconds"`
	P99      float64 `json:"recent_p99_seconds"`
	// Expires is the end of the address's certificate, from the latest handshake.
	Expires time.Time `json:"certificate_expires,omitzero"`
}

// Limit is a resource with a limit.
type Limit struct {
	Name     string `json:"name"` // of the metric
	Listener string `json:"listener,omitempty"`
	Used     int64  `json:"used"`
	Capacity int64  `json:"capacity"`
}

// Redis is the state of the Redis server.
type Redis struct {
	Server string `json:"server"` // without user and password
	Up     bool   `json:"up"`
}
