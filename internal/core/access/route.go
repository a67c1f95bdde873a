package access

import "strings"

// Routes finds the pattern that a request matches, whichever clients the rule is for. It is for
// reports. It is immutable and safe for concurrent use; nil finds nothing.
type Routes struct {
	byMethod map[string]*node
	patterns []string
}

// NewRoutes returns the patterns of rules that [Compile] accepts, in their order. Other
// patterns are omitted.
func NewRoutes(rules []Rule) *Routes {
	r := &Routes{byMethod: map[string]*node{}}
	for _, rule := range rules {
		for _, text := range rule.Allow {
			p, err := parsePattern(text)
			if err != nil {
				continue
			}
			r.insert(p.method, p)
			if p.method == "GET" {
				r.insert("HEAD", p)
			}
			r.patterns = append(r.patterns, text[strings.IndexByte(text, '/'):])
		}
	}
	return r
}

func (r *Routes) insert(method string, p pattern) {
	if r.byMethod[method] == nil {
		r.byMethod[method] = newNode()
	}
	r.byMethod[method].insert(p, len(r.patterns))
}

// Find returns the path of the first pattern that the request matches, such as /events/{id},
// or "".
func (r *Routes) Find(method string, t Target) string {
	if r == nil || !t.valid() {
		return ""
	}
	if i := r.byMethod[method].match(t.decoded, noRule); i != noRule {
		return r.patterns[i]
	}
	return ""
}
