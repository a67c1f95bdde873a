package headers

// MaxPattern is an upper bound of the length of a pattern.
const MaxPattern = maxPattern

// Patterns returns every pattern of the tables.
func Patterns() []string {
	list := reserved[:]
	for _, group := range stripped {
		list = append(list, group.Names...)
	}
	return list
}
