package simulation

// ParsePlain parses a line without encoding/json, if it can.
func ParsePlain(line []byte) (e Entry, ok bool) {
	ok = e.parsePlain(line)
	return e, ok
}
