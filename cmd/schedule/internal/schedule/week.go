package schedule

import (
	"fmt"
	"time"

	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

// week is seven days from a Monday, in UTC (ISO 8601).
type week struct{ monday time.Time }

func weekOf(t time.Time) week {
	day := midnight(t)
	sinceMonday := (int(day.Weekday()) + 6) % 7
	return week{day.AddDate(0, 0, -sinceMonday)}
}

func midnight(t time.Time) time.Time {
	year, month, day := t.UTC().Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func (w week) end() time.Time { return w.monday.AddDate(0, 0, 7) }

func (w week) number() int {
	_, n := w.monday.ISOWeek()
	return n
}

// link returns the URL of the week's page. It is empty for a week that is outside of the
// range of events, because the page refuses such weeks.
func (w week) link() string {
	if w.monday.Before(event.FirstTime()) || w.monday.Year() > 9999 {
		return ""
	}
	return "/?week=" + w.monday.Format(time.DateOnly)
}

func (w week) add(weeks int) week { return week{w.monday.AddDate(0, 0, 7*weeks)} }

// title returns the first and last day of the week without repeated parts: "29 July – 4
// August 2013".
func (w week) title() string {
	sunday := w.monday.AddDate(0, 0, 6)
	from := "2 January 2006"
	switch {
	case w.monday.Year() == sunday.Year() && w.monday.Month() == sunday.Month():
		from = "2"
	case w.monday.Year() == sunday.Year():
		from = "2 January"
	}
	return fmt.Sprintf("%s – %s", w.monday.Format(from), sunday.Format("2 January 2006"))
}
