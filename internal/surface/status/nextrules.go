package status

import "time"

// NextRules has the requests of this process about which the next rules would decide
// differently.
type NextRules struct {
	Since   time.Time    `json:"since"`   // when the next rules were loaded
	Changes []NextChange `json:"changes"` // sorted by client
	Dropped uint64       `json:"dropped"` // requests for which Changes had no room
}

// NextChange counts the requests of a client with one change, with an example.
type NextChange struct {
	Client    string    `json:"client"`
	Change    string    `json:"change"` // as the field next of the log
	Requests  uint64    `json:"requests"`
	Last      time.Time `json:"last"`
	RequestID string    `json:"request_id"`
	Method    string    `json:"method"`
	Path      string    `json:"path"` // without the query
}

// maxNextShown is the number of changes on the page.
const maxNextShown = 200

// clients returns the number of clients with changes.
func (n *NextRules) clients() (count uint64) {
	for i, c := range n.Changes {
		if i == 0 || c.Client != n.Changes[i-1].Client { // sorted
			count++
		}
	}
	return count
}

// Shown returns the changes that the page shows.
func (n *NextRules) Shown() []NextChange { return n.Changes[:min(len(n.Changes), maxNextShown)] }

// More returns the number of changes that only the JSON has.
func (n *NextRules) More() int { return len(n.Changes) - len(n.Shown()) }

// NextMark returns the label of a change by the next rules.
func (v *view) NextMark(c NextChange) mark {
	if c.Change == "allow" {
		return mark{"good", c.Change}
	}
	return mark{"warn", c.Change}
}
