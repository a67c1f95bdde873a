package usage

import (
	"time"

	"github.com/certgate/certgate/internal/audit"
	"github.com/certgate/certgate/internal/core/refusal"
)

// Snapshot is a copy of the inventory at one time. Zero times mean never.
type Snapshot struct {
	// Time is when the snapshot was made.
	Time time.Time
	// Since is when the observation began: the start of the process, or, if Shared, the
	// start of the first replica that wrote to Redis.
	Since time.Time
	// Keys has the keys of the keyring in force, in its order.
	Keys []Key
	// Clients is sorted by name.
	Clients []Client
	// Refusals has the latest refusals of this process, the newest first: at most
	// [MaxRefusals] of verified clients, and as many of other requests.
	Refusals []Refusal
	// RefusalsDropped is the number of refusals of this process that are no longer in
	// Refusals because newer ones took their place.
	RefusalsDropped uint64
	// Rules has the rules in force, in their order.
	Rules []Rule
	// Next has the effect of the next rules, or is nil without next rules.
	Next *NextRules
	// Forgotten is the number of clients that were dropped because the inventory was full.
	Forgotten uint64
	// Shared reports whether the inventory is shared with other replicas. Without it, the
	// snapshot has the requests of this process only.
	Shared bool
	// Replicas is the number of replicas that wrote to Redis recently, this one included.
	// It is 1 if the inventory is not shared.
	Replicas int
	// Synchronized is when the inventory was last exchanged with Redis, and SyncError is
	// the error of the latest exchange, or empty. While there is an error, the use by other
	// replicas is as old as Synchronized.
	Synchronized time.Time
	SyncError    string
}

// Key is the use of one key of the keyring. A key is used by a request whose certificate is
// accepted, even if another check refuses the request.
type Key struct {
	ID    string    // as in the field key_id of the log
	Since time.Time // when the observation of the key began
	// FirstUse and LastUse are the times of the first and latest use since then.
	FirstUse, LastUse time.Time
	// Clients is the number of known clients with a certificate in use that the key
	// signed, and ClientNames has the first names of them in alphabetical order.
	Clients     int
	ClientNames []string
}

// MaxKeyClients is the largest number of names in [Key.ClientNames].
const MaxKeyClients = 20

// Client is a client whose certificate an anchor signed.
type Client struct {
	Name     string
	LastSeen time.Time
	// Bearer, Signed and MTLS are the times of the latest request with an accepted
	// certificate and this level of possession.
	Bearer, Signed, MTLS time.Time
	// Certificates has the certificates in use, the latest used first: those used within
	// the last 24 hours, and always the latest. It has at most [MaxCertificates].
	Certificates []Certificate
	// EarliestEnd is the earliest end of the certificates in use.
	EarliestEnd time.Time

	// Allowed is the number of granted requests, with those that failed at the upstream.
	Allowed, Refused uint64
	// LastRefusal is the time of the latest refusal, and LastReason its reason.
	LastRefusal time.Time
	LastReason  refusal.Reason
	// Rules has the rules that granted requests to this process, sorted by name.
	Rules []ClientRule
}

// MaxCertificates is the largest number of certificates of a client that are kept. If a
// client uses more of them at the same time, those that end first are kept.
const MaxCertificates = 8

// Latest returns the certificate of the latest request, or the zero value.
func (c *Client) Latest() Certificate {
	if len(c.Certificates) == 0 {
		return Certificate{}
	}
	return c.Certificates[0]
}

// Certificate is a certificate that a client uses.
type Certificate struct {
	Serial    string
	KeyID     string // of the anchor that signed it
	NotAfter  time.Time
	LastUse   time.Time
	SharedKey bool // it contains the anchor's key
}

// ClientRule is the use of a rule by a client.
type ClientRule struct {
	Name string
	Uses uint64 // granted requests
	// RateUsed is the used part of the client's bucket, from 0 to 1, if the rule has a rate.
	RateUsed float64
	HasRate  bool
}

// Refusal is a refused request. Its texts are printable ASCII of limited length.
type Refusal struct {
	Time      time.Time
	Surface   audit.Surface
	RequestID string
	TraceID   string // as in the log, empty without a valid traceparent
	SpanID    string
	Client    string // empty unless an anchor signed the certificate
	Source    string
	Method    string
	Path      string // without the query
	Status    int
	Reason    refusal.Reason
	Detail    string
}

// Rule is the use of one rule.
type Rule struct {
	Name    string
	Uses    uint64 // granted requests
	LastUse time.Time
}
