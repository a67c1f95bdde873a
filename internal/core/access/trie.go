package access

import (
	"math"
	"strings"
)

// noRule is greater than the number of every rule.
const noRule = math.MaxInt

// node is one position in a trie of patterns: what rules end here, and what
// segments lead on. A nil node matches nothing.
//
// Rules are numbered in file order and a search looks for the lowest number, so
// subtrees that cannot better what is found already are skipped. A path visits
// each node at most once; with literals only, one node for each segment.
type node struct {
	literals map[string]*node
	wild     *node
	ends     [endSubtree + 1]int // by ending, the first rule that ends so
	first    int                 // the first rule here or below
}

func newNode() *node {
	return &node{ends: [...]int{noRule, noRule, noRule}, first: noRule}
}

// insert adds a pattern of the given rule.
func (n *node) insert(p pattern, rule int) {
	n.first = min(n.first, rule)
	for _, s := range p.segments {
		n = n.child(s)
		n.first = min(n.first, rule)
	}
	n.ends[p.end] = min(n.ends[p.end], rule)
}

func (n *node) child(s segment) *node {
	if s.wild {
		if n.wild == nil {
			n.wild = newNode()
		}
		return n.wild
	}
	next, ok := n.literals[s.literal]
	if !ok {
		if n.literals == nil {
			n.literals = map[string]*node{}
		}
		next = newNode()
		n.literals[s.literal] = next
	}
	return next
}

// match is the first rule with a pattern for path, which is decoded and is ""
// or begins with "/". It is best when no rule comes before that.
func (n *node) match(path string, best int) int {
	if n == nil || n.first >= best {
		return best
	}
	if path == "" {
		return min(best, n.ends[endHere])
	}
	best = min(best, n.ends[endSubtree])
	if path == "/" {
		return min(best, n.ends[endSlash])
	}
	name, rest := path[1:], ""
	if i := strings.IndexByte(name, '/'); i >= 0 {
		name, rest = name[:i], name[i:]
	}
	best = n.literals[name].match(rest, best)
	return n.wild.match(rest, best)
}

// cover is the first rule with one pattern that matches whatever the segments
// and the ending match. It is best when no rule comes before that.
func (n *node) cover(segments []segment, end ending, best int) int {
	if n == nil || n.first >= best {
		return best
	}
	if len(segments) == 0 {
		return min(best, n.coverEnd(end))
	}
	best = min(best, n.ends[endSubtree])
	if !segments[0].wild {
		best = n.literals[segments[0].literal].cover(segments[1:], end, best)
	}
	return n.wild.cover(segments[1:], end, best)
}

func (n *node) coverEnd(end ending) int {
	if end == endSlash {
		return min(n.ends[endSlash], n.ends[endSubtree])
	}
	return n.ends[end]
}
