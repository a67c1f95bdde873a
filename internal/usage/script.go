package usage

import (
	"context"
	"crypto/rand"
	_ "embed" // for the script
	"errors"
	"fmt"
	"strconv"
	"time"
)

// exchangeScript is the script that the server runs for each exchange. It describes its
// arguments and its reply.
//
//go:embed exchange.lua
var exchangeScript string

// errReply reports that the reply of the server is not one that the script returns.
var errReply = errors.New("want the reply of the script, found another")

// request has the arguments of the script for one table.
type request struct {
	table  string
	most   int
	cursor uint64
	writes []string
}

// reply is the reply of the script.
type reply struct {
	written            []bool
	epoch              string
	since              time.Time
	version, forgotten uint64
	replicas           int
	conflicts, changed []replyEntry
	complete           bool
}

// replyEntry is an entry of a table. Its version is 0 if the server has none.
type replyEntry struct {
	name    string
	version uint64
	value   string
}

// runScript runs the script once.
func (x *sharing) runScript(ctx context.Context, r request) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, fmt.Errorf("want the exchange to end within %s: %w", exchangeTimeout, err)
	}
	table := prefix + r.table
	args := append([]string{
		"EVAL", exchangeScript, "5", prefix + "state", prefix + "replicas", table, table + ":versions", table + ":seen",
		x.replica, encodeTime(x.store.now()), strconv.Itoa(int(lifetime.Seconds())), encodeTime(x.store.since),
		x.epoch, rand.Text(), strconv.Itoa(r.most), strconv.FormatUint(r.cursor, 10),
	}, r.writes...)
	answer, err := x.pool.Do(ctx, args...)
	if err != nil {
		return reply{}, err
	}
	text, isBulk := answer.Bulk()
	if !isBulk {
		return reply{}, fmt.Errorf("want the reply of the script, found %s", answer)
	}
	return parseReply(text)
}

// Positions in the reply, and the number of texts of one entry.
const (
	replyHead       = 6
	replyEntryTexts = 3
)

// parseReply reads the reply of the script.
func parseReply(text string) (r reply, err error) {
	texts, err := netstrings(text)
	if err != nil {
		return reply{}, err
	}
	entries := len(texts) - replyHead - 1
	if entries < 0 || entries%replyEntryTexts != 0 || texts[1] == "" {
		return reply{}, errReply
	}
	conflicts := 0
	for _, c := range texts[0] {
		r.written = append(r.written, c == '1')
		if c != '1' {
			conflicts++
		}
	}
	w := words{list: append(texts[2:replyHead:replyHead], texts[len(texts)-1])}
	r.epoch, r.since = texts[1], w.time()
	r.version, r.forgotten, r.replicas = w.count(), w.count(), int(min(w.count(), maxReplicas))
	r.complete = w.next() == "1"
	if err := w.end(); err != nil {
		return reply{}, errReply
	}
	list, err := parseEntries(texts[replyHead : len(texts)-1])
	if err != nil {
		return reply{}, err
	}
	// There are no conflicts if nothing was written because of the epoch.
	conflicts = min(conflicts, len(list))
	r.conflicts, r.changed = list[:conflicts], list[conflicts:]
	return r, nil
}

// maxReplicas is the largest number of replicas that is shown.
const maxReplicas = 10_000

func parseEntries(texts []string) (list []replyEntry, err error) {
	for i := 0; i < len(texts); i += replyEntryTexts {
		version, err := strconv.ParseUint(texts[i+1], 10, 53)
		if err != nil {
			return nil, errReply
		}
		list = append(list, replyEntry{texts[i], version, texts[i+2]})
	}
	return list, nil
}
