package config

import (
	"slices"
	"strings"
)

// maxEditDistance is the largest edit distance between two similar names.
const maxEditDistance = 2

// closestName returns the known name that is most similar to an unknown one, or "" if
// no known name is similar or the name itself is known.
func closestName(name string, known []variableSpec) string {
	best, lowest := "", maxEditDistance+1
	for _, spec := range known {
		if name == spec.Name {
			return ""
		}
		if n := editDistance(strings.ToUpper(name), spec.Name); n < lowest {
			best, lowest = spec.Name, n
		}
	}
	return best
}

// editDistance returns the Levenshtein distance of a and b in bytes. Above
// maxEditDistance the result may be any number above maxEditDistance.
func editDistance(a, b string) int {
	if len(a)-len(b) > maxEditDistance || len(b)-len(a) > maxEditDistance {
		return maxEditDistance + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		above := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, above[j+1]+1, above[j]+cost)
		}
	}
	return row[len(b)]
}
