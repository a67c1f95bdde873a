package access

import (
	"math"
	"strings"
)

// noRule is greater than the number of every rule.
const noRule = math.MaxInt

// node is one position in a trie of patterns. It holds the rules that end here and the next
// segments. A nil node matches nothing.
//
// Rules are numbered in file order and a search looks for the lowest number, so it skips
// subtrees without a lower number than the best match. A search visits each node at most once,
// and one node per segment if the patterns have no wildcards.
type node struct {
	literals map[string]*node
	wild     *node
	ends     [endSubtree + 1]int // the first rule by ending
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

// match returns the first rule with a pattern that matches path, or best if no earlier rule
// matches. The path is decoded, and is "" or begins with "/".
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

// cover returns the first rule with one pattern that matches every path that the segments and
// the ending match, or best if no earlier rule does.
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
