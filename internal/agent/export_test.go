package agent

import "net/url"

// Look does what the agent does every minute.
func (a *Agent) Look() { a.keeper.look() }

// Reread does what the agent does when its files change.
func (a *Agent) Reread() { a.keeper.reload(changed) }

// ReasonOf is the reason of an answer to an error of sending.
func ReasonOf(err error, connected bool) string { return refusalOf(err, connected).reason }

// URLOf is where the agent of a target sends a request with the request target.
func URLOf(target *url.URL, raw string) *url.URL {
	return (&Agent{options: Options{Target: target}}).url(raw)
}
