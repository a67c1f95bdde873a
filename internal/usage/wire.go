package usage

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certgate/certgate/internal/core/identity"
	"github.com/certgate/certgate/internal/core/refusal"
)

// The values in Redis are words, separated by single spaces. Other programs may have
// written them, so that each word is checked, and an entry with a fault is not used.

// format is the first word of a value. Another format is not read.
const format = "1"

// maxAhead is how far in the future a time in Redis may be, because clocks differ.
const maxAhead = time.Hour

// errValue reports a value that this package has not written.
var errValue = errors.New("want a value of the inventory, found another")

// encodeClient returns the value of a client.
func encodeClient(c *Client) string {
	words := []string{
		format, encodeTime(c.LastSeen), encodeTime(c.Bearer), encodeTime(c.Signed), encodeTime(c.MTLS),
		strconv.FormatUint(c.Allowed, 10), strconv.FormatUint(c.Refused, 10), encodeTime(c.LastRefusal), "-",
	}
	if c.LastReason != "" {
		words[len(words)-1] = string(c.LastReason)
	}
	for _, cert := range c.Certificates {
		words = append(words, cert.Serial, cert.KeyID, encodeTime(cert.NotAfter), encodeTime(cert.LastUse), strconv.FormatBool(cert.SharedKey))
	}
	return strings.Join(words, " ")
}

// decodeClient reads the value of a client.
func decodeClient(name, value string, now time.Time) (Client, error) {
	if err := identity.CheckAny(name); err != nil {
		return Client{}, err
	}
	w := words{list: strings.Split(value, " "), now: now}
	w.format()
	c := Client{
		Name: name, LastSeen: w.past(), Bearer: w.past(), Signed: w.past(), MTLS: w.past(),
		Allowed: w.count(), Refused: w.count(), LastRefusal: w.past(), LastReason: w.reason(),
	}
	for len(w.list) > 0 && len(c.Certificates) < MaxCertificates {
		c.Certificates = append(c.Certificates, Certificate{
			Serial: w.hex(), KeyID: w.hex(), NotAfter: w.time(), LastUse: w.past(), SharedKey: w.bool(),
		})
	}
	if c.LastSeen.IsZero() {
		w.fail()
	}
	return c, w.end()
}

// encodeKey returns the value of a key.
func encodeKey(k *Key) string {
	return strings.Join([]string{format, encodeTime(k.Since), encodeTime(k.FirstUse), encodeTime(k.LastUse)}, " ")
}

func decodeKey(id, value string, now time.Time) (Key, error) {
	w := words{list: strings.Split(value, " "), now: now}
	w.format()
	k := Key{ID: id, Since: w.past(), FirstUse: w.past(), LastUse: w.past()}
	return k, w.end()
}

// encodeRule returns the value of a rule.
func encodeRule(r *Rule) string {
	return strings.Join([]string{format, strconv.FormatUint(r.Uses, 10), encodeTime(r.LastUse)}, " ")
}

func decodeRule(name, value string, now time.Time) (Rule, error) {
	w := words{list: strings.Split(value, " "), now: now}
	w.format()
	r := Rule{Name: name, Uses: w.count(), LastUse: w.past()}
	return r, w.end()
}

// encodeTime returns the milliseconds since 1970, or 0 for the zero time.
func encodeTime(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// words reads the words of a value. After a fault it returns zero values.
type words struct {
	list   []string
	now    time.Time
	faulty bool
}

func (w *words) fail() { w.faulty = true }

// end returns an error if there was a fault, or if words are left.
func (w *words) end() error {
	if w.faulty || len(w.list) > 0 {
		return errValue
	}
	return nil
}

// next returns the next word, which is not empty.
func (w *words) next() string {
	if w.faulty || len(w.list) == 0 || w.list[0] == "" {
		w.fail()
		return ""
	}
	word := w.list[0]
	w.list = w.list[1:]
	return word
}

func (w *words) format() {
	if w.next() != format {
		w.fail()
	}
}

// count reads a number without sign and leading zeros.
func (w *words) count() uint64 {
	word := w.next()
	n, err := strconv.ParseUint(word, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != word {
		w.fail()
		return 0
	}
	return n
}

// maxTime is the last millisecond of the year 9999.
const maxTime = 253402300799999

// time reads a time.
func (w *words) time() time.Time {
	ms := w.count()
	if ms > maxTime {
		w.fail()
		return time.Time{}
	}
	return timeOf(int64(ms))
}

// past reads a time that is not in the future, except for a difference of clocks.
func (w *words) past() time.Time {
	t := w.time()
	if t.Sub(w.now) > maxAhead {
		w.fail()
		return time.Time{}
	}
	return t
}

func (w *words) bool() bool {
	word := w.next()
	if word != "true" && word != "false" {
		w.fail()
	}
	return word == "true"
}

// maxHex is the longest serial number or key id.
const maxHex = 64

// hex reads a serial number or the id of a key.
func (w *words) hex() string {
	word := w.next()
	if len(word) > maxHex || strings.ContainsFunc(word, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }) {
		w.fail()
		return ""
	}
	return word
}

// reason reads a reason, or "-" for none.
func (w *words) reason() refusal.Reason {
	word := w.next()
	r := refusal.Reason(word)
	switch {
	case word == "-":
		return ""
	case !r.Known() && r != unknown:
		w.fail()
		return ""
	}
	return r
}

// netstrings splits a reply of the script into its texts.
func netstrings(text string) (list []string, err error) {
	for text != "" {
		length, rest, found := strings.Cut(text, ":")
		n, err := strconv.ParseUint(length, 10, 31)
		if err != nil || !found || uint64(len(rest)) < n+1 || rest[n] != ',' {
			return nil, fmt.Errorf("want a reply of the script, found another text of %d bytes", len(text))
		}
		list, text = append(list, rest[:n]), rest[n+1:]
	}
	return slices.Clip(list), nil
}
