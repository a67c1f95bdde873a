package config

import (
	"slices"
	"strings"
)

// maxTypo is how many letters may be wrong in a name that is still ours.
const maxTypo = 2

// probable is the known name that somebody meant by an unknown one, or "".
func probable(name string, known []described) string {
	best, least := "", maxTypo+1
	for _, d := range known {
		if name == d.Name {
			return ""
		}
		if n := distance(strings.ToUpper(name), d.Name); n < least {
			best, least = d.Name, n
		}
	}
	return best
}

// distance is the number of bytes to insert, remove or replace between a and
// b, or a number above maxTypo when it is above maxTypo.
func distance(a, b string) int {
	if len(a)-len(b) > maxTypo || len(b)-len(a) > maxTypo {
		return maxTypo + 1
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
