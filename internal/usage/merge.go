package usage

import (
	"slices"
	"time"
)

// sharedCounts are the counts of a client of this process that are part of the value in
// Redis. The difference to the present counts is not shared yet.
type sharedCounts struct {
	allowed, refused uint64
	seen             int64 // in milliseconds since 1970
}

// mergeClients returns the use of a client by this process and by the others. own are the
// counts of this process that are part of others.
func mergeClients(local, others Client, own sharedCounts) Client {
	merged := local
	merged.Allowed = others.Allowed + local.Allowed - own.allowed
	merged.Refused = others.Refused + local.Refused - own.refused
	merged.LastSeen = later(local.LastSeen, others.LastSeen)
	merged.Bearer = later(local.Bearer, others.Bearer)
	merged.Signed = later(local.Signed, others.Signed)
	merged.MTLS = later(local.MTLS, others.MTLS)
	if others.LastRefusal.After(local.LastRefusal) {
		merged.LastRefusal, merged.LastReason = others.LastRefusal, others.LastReason
	}
	merged.Certificates = mergeCertificates(local.Certificates, others.Certificates)
	return merged
}

// mergeCertificates returns the certificates in use of both lists, with the latest use of
// each. If there are too many, it keeps those that end first.
func mergeCertificates(a, b []Certificate) []Certificate {
	all := slices.Clone(a)
	for _, cert := range b {
		i := slices.IndexFunc(all, func(c Certificate) bool { return c.Serial == cert.Serial && c.KeyID == cert.KeyID })
		if i < 0 {
			all = append(all, cert)
			continue
		}
		all[i].LastUse = later(all[i].LastUse, cert.LastUse)
	}
	if len(all) <= MaxCertificates {
		return all
	}
	newest := slices.MaxFunc(all, func(a, b Certificate) int { return a.LastUse.Compare(b.LastUse) }).LastUse
	all = slices.DeleteFunc(all, func(c Certificate) bool { return newest.Sub(c.LastUse) > inUse })
	slices.SortFunc(all, func(a, b Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	return all[:min(len(all), MaxCertificates)]
}

// mergeKeys returns the use of a key by this process and by the others.
func mergeKeys(local, others Key) Key {
	merged := local
	merged.Since = earlier(local.Since, others.Since)
	merged.FirstUse = earlier(local.FirstUse, others.FirstUse)
	merged.LastUse = later(local.LastUse, others.LastUse)
	return merged
}

// mergeRules returns the use of a rule by this process and by the others. own is the number
// of uses by this process that is part of others.
func mergeRules(local, others Rule, own uint64) Rule {
	return Rule{Name: local.Name, Uses: others.Uses + local.Uses - own, LastUse: later(local.LastUse, others.LastUse)}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// earlier returns the earlier time that is not zero.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
