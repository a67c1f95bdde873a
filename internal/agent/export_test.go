package agent

// Look does what the agent does every minute.
func (a *Agent) Look() { a.keeper.look() }

// Reread does what the agent does when its files change.
func (a *Agent) Reread() { a.keeper.reload(changed) }

// ReasonOf is the reason of an answer to an error of sending.
func ReasonOf(err error, connected bool) string { return refusalOf(err, connected).reason }
