package schedule

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

const (
	columns = `id, client, name, start_time, end_time, created_at`
	// stampLayout has the same width for every time, so the order of the text is the order
	// of the times.
	stampLayout = "2006-01-02T15:04:05.000000000Z"
)

// Query selects events. The zero value of a field is no condition, except that Limit must
// be at least 1.
//
// An event is in the period if it overlaps [From, To): it ends after From and starts
// before To.
type Query struct {
	From, To time.Time
	Client   string
	After    Position
	Limit    int
}

// Position is a place in the list, which is ordered by start time and then by
// ID. The zero value is the beginning.
type Position struct {
	Start time.Time
	ID    string
}

// list always has bounds. Every time is greater than the empty text and less than the
// tilde.
const list = `SELECT ` + columns + ` FROM events
	WHERE end_time > ?1 AND start_time < ?2 AND (?3 = '' OR client = ?3) AND (start_time, id) > (?4, ?5)
	ORDER BY start_time, id LIMIT ?6`

// List returns at most q.Limit events in the order of [Position].
func (s *Store) List(ctx context.Context, q Query) ([]Event, error) {
	rows, err := s.reader.QueryContext(ctx, list,
		bound(q.From, ""), bound(q.To, "~"), q.Client, bound(q.After.Start, ""), q.After.ID, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err returns the error
	events := []Event{}
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	return events, nil
}

// bound returns the time as text, or open for the zero time.
func bound(t time.Time, open string) string {
	if t.IsZero() {
		return open
	}
	return stamp(t)
}

// Event returns the event with the ID, or [ErrNotFound].
func (s *Store) Event(ctx context.Context, id string) (Event, error) {
	return scan(s.reader.QueryRowContext(ctx, `SELECT `+columns+` FROM events WHERE id = ?`, id))
}

// Nearest returns the event that is nearest to the empty period [from, to): the last
// event before it or the first event after it. It returns [ErrNotFound] without such an event.
func (s *Store) Nearest(ctx context.Context, from, to time.Time) (Event, error) {
	before, errBefore := scan(s.reader.QueryRowContext(ctx,
		`SELECT `+columns+` FROM events WHERE end_time <= ? ORDER BY end_time DESC LIMIT 1`, stamp(from)))
	if errBefore != nil && !errors.Is(errBefore, ErrNotFound) {
		return Event{}, errBefore
	}
	after, errAfter := scan(s.reader.QueryRowContext(ctx,
		`SELECT `+columns+` FROM events WHERE start_time >= ? ORDER BY start_time, id LIMIT 1`, stamp(to)))
	if errAfter != nil {
		if errors.Is(errAfter, ErrNotFound) {
			return before, errBefore
		}
		return Event{}, errAfter
	}
	if errBefore == nil && from.Sub(before.EndTime) <= after.StartTime.Sub(to) {
		return before, nil
	}
	return after, nil
}

// row is implemented by [sql.Row] and [sql.Rows].
type row interface{ Scan(dest ...any) error }

func scan(r row) (Event, error) {
	var e Event
	var start, end, created string
	err := r.Scan(&e.ID, &e.Client, &e.Name, &start, &end, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return Event{}, ErrNotFound
	}
	if err != nil {
		return Event{}, fmt.Errorf("read an event: %w", err)
	}
	for _, field := range []struct {
		to   *time.Time
		text string
	}{{&e.StartTime, start}, {&e.EndTime, end}, {&e.CreatedAt, created}} {
		if *field.to, err = time.Parse(stampLayout, field.text); err != nil {
			return Event{}, fmt.Errorf("read event %q: %w", e.ID, err)
		}
	}
	return e, nil
}

// stamp returns a time in the format of the database. The end of the last week of 9999 is
// in the year 10000; it becomes the last time of 9999, and no event ends later.
func stamp(t time.Time) string {
	if t = t.UTC(); t.Year() > 9999 {
		return "9999-12-31T23:59:59.999999999Z"
	}
	return t.Format(stampLayout)
}
