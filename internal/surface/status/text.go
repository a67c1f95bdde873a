package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The methods below are called by the template.

// Class returns the style of a notice.
func (l Level) Class() string {
	return map[Level]string{Error: "bad", Warning: "warn", Info: "info"}[l]
}

// Title returns the name of the source in words.
func (s Source) Title() string { return title(s.Name) }

// Text returns the number of entries with their name in words.
func (p Part) Text() string {
	words := strings.ReplaceAll(p.Name, "_", " ")
	if words == "crls" {
		words = "revocation lists"
	}
	return plural(uint64(p.Count), strings.TrimSuffix(words, "s"), words) //nolint:gosec // never negative
}

func title(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	if words == "crls" {
		return "Revocation lists"
	}
	return strings.ToUpper(words[:1]) + words[1:]
}

// longList is the number of names from which a list is folded.
const longList = 8

// IsLong reports whether the list of clients is folded.
func (r Rule) IsLong() bool { return len(r.Clients) > longList }

// ClientCount returns the number of clients in the rule.
func (r Rule) ClientCount() int { return len(r.Clients) }

// ClientList returns the clients of the rule in words.
func (r Rule) ClientList() string {
	if slices.Contains(r.Clients, "*") {
		return "every verified client"
	}
	return strings.Join(r.Clients, ", ")
}

// ID returns the name of the group for an attribute.
func (g settingGroup) ID() string { return strings.ReplaceAll(g.Name, " ", "-") }

// Title returns the name of the group as a heading.
func (g settingGroup) Title() string { return title(g.Name) }

// More returns the number of clients that ClientNames does not name.
func (k Key) More() int { return k.Clients - len(k.ClientNames) }

// MedianText returns the median in milliseconds.
func (a Address) MedianText() string { return a.milliseconds(a.Median) }

// P99Text returns the 99th percentile in milliseconds.
func (a Address) P99Text() string { return a.milliseconds(a.P99) }

func (a Address) milliseconds(seconds float64) string {
	if a.Attempts == 0 {
		return "–"
	}
	return fmt.Sprintf("%.3g ms", seconds*1000)
}

// Title returns the name of the resource in words.
func (l Limit) Title() string {
	names := map[string]string{
		"certgate_upstream_requests_in_flight": "Requests at the upstream",
		"certgate_held_body_bytes":             "Bytes of held request bodies",
		"certgate_log_buffer_bytes":            "Bytes of log lines that are not written yet",
		"certgate_nonces":                      "Nonces of signed requests",
		"certgate_connections":                 "Connections",
	}
	name, known := names[l.Name]
	if !known {
		name = l.Name
	}
	if l.Listener != "" {
		name += ", listener " + l.Listener
	}
	return name
}

// High returns the use from which the resource needs attention.
func (l Limit) High() int64 { return int64(nearlyFull * float64(l.Capacity)) }

// Percent returns the used part.
func (l Limit) Percent() int64 { return 100 * l.Used / max(l.Capacity, 1) }

// Count returns a number with separators.
func (v *view) Count(n any) string {
	switch n := n.(type) {
	case int:
		return count(n)
	case int64:
		return count(n)
	case uint64:
		return count(n)
	default:
		return fmt.Sprint(n)
	}
}

// Ago returns the time since t.
func (v *view) Ago(t time.Time) string { return v.ago(t) }

// Stamp returns t to the minute.
func (v *view) Stamp(t time.Time) string { return stamp(t) }

// Clock returns the time of t to the millisecond, with the date if it is not that of the page.
func (v *view) Clock(t time.Time) string {
	if t.UTC().Format(time.DateOnly) == v.Time.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04:05.000")
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

// Ends describes the end of a validity period.
func (v *view) Ends(t time.Time) string { return v.ends(t) }

// KeyMark returns a label for a CA certificate that ends soon or has ended, or nil.
func (v *view) KeyMark(k Key) *mark {
	switch left := k.NotAfter.Sub(v.Time); {
	case left < 0:
		return &mark{"bad", "expired"}
	case left < anchorNotice:
		return &mark{"warn", "expires in " + span(left)}
	default:
		return nil
	}
}

// Unused describes for how long no client has used the key, or returns "" while it is in use.
func (v *view) Unused(k Key) string {
	d := v.unused(&k)
	switch {
	case !k.LastUse.IsZero() && d < idle:
		return ""
	case k.LastUse.IsZero():
		return fmt.Sprintf("unused for %s, since its observation began at %s", span(d), stamp(k.Since))
	default:
		return fmt.Sprintf("unused for %s; its observation began at %s", span(d), stamp(k.Since))
	}
}

// ObservationText describes what the use of keys is based on.
func (v *view) ObservationText() string {
	o := v.Observation
	text := "The use of keys, clients and rules is that of this process since " + stamp(o.Since) + ". Other replicas have their own; with REDIS_URL they share it."
	if o.Shared {
		text = fmt.Sprintf("The use of keys, clients and rules is that of %s since %s, shared in Redis %s; the reasons, rules and rates of each client are those of this process.", plural(uint64(o.Replicas), "replica", "replicas"), stamp(o.Since), v.ago(o.Synchronized)) //nolint:gosec // a small number
	}
	return text + " A key is safe to remove when no client has used it for " + span(idle) + "."
}

// ClientsText describes which clients are shown.
func (v *view) ClientsText() string {
	var parts []string
	switch {
	case len(v.Clients) == 0:
		parts = append(parts, "No client with a valid certificate has sent a request yet.")
	case v.Matching == 0:
		parts = append(parts, fmt.Sprintf("No client's name contains %q.", v.Query.Name))
	case v.Shown < v.Matching:
		parts = append(parts, fmt.Sprintf("The first %s of %s clients, those that need attention before the others.", count(v.Shown), count(v.Matching)))
	default:
		parts = append(parts, plural(uint64(v.Matching), "client", "clients")+", those that need attention before the others.") //nolint:gosec // never negative
	}
	if n := v.Observation.Forgotten; n > 0 {
		parts = append(parts, plural(n, "client was", "clients were")+" dropped because there are more than the inventory holds.")
	}
	return strings.Join(parts, " ")
}

// RefusalsText explains an empty list of refusals.
func (v *view) RefusalsText() string {
	if len(v.Refusals) == 0 {
		return "No request was refused since the start."
	}
	return "None of the latest refusals matches. Older ones are in the log."
}

// MaxAttempts returns the largest number of requests that a time of an address is based on.
func (v *view) MaxAttempts() (n int) {
	for _, a := range v.Upstream {
		n = max(n, a.Attempts)
	}
	return n
}
