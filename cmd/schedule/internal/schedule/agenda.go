package schedule

import (
	"cmp"
	"hash/crc32"
	"slices"
	"time"
)

// agenda is the input of the page's template: one week of events.
type agenda struct {
	Week     string
	Number   int
	ISO      string // the first day, for the date field
	Previous string
	Next     string
	Current  bool
	Apps     []app
	Days     []day
	Total    int
	More     bool // there are more events than the page shows
	Nearest  *weekLink
	Notice   string
	Nonce    string
}

// app is one application in the legend.
type app struct {
	Name  string
	Hue   int
	Count int
}

type day struct {
	ISO     string
	Weekday string
	Number  int
	Month   string
	Today   bool
	Past    bool
	Entries []entry
}

// entry is an event on one day. Clock contains its times on that day. Span contains its
// start and end, and is set for events of several days only.
type entry struct {
	ID     string
	Name   string
	Client string
	Hue    int
	Clock  []moment
	Span   []moment
}

// moment is a time for people (Text) and for programs (ISO), with the word before it.
type moment struct {
	Word string
	ISO  string
	Text string
}

type weekLink struct {
	Link  string
	Title string
}

// hue returns the colour of an application, as an angle. It depends on the name only, so
// an application has the same colour on every page.
func hue(client string) int {
	return int(crc32.ChecksumIEEE([]byte(client)) % 360)
}

func newAgenda(w week, events []Event, now time.Time) agenda {
	a := agenda{
		Week: w.title(), Number: w.number(), ISO: w.monday.Format(time.DateOnly),
		Previous: w.add(-1).link(), Next: w.add(1).link(), Current: weekOf(now) == w,
		Apps: appsOf(events), Total: len(events),
	}
	for i := range 7 {
		a.Days = append(a.Days, newDay(w.monday.AddDate(0, 0, i), events, now))
	}
	return a
}

// appsOf counts the events of each application, in the order of the names.
func appsOf(events []Event) []app {
	counts := map[string]int{}
	for _, e := range events {
		counts[e.Client]++
	}
	apps := make([]app, 0, len(counts))
	for name, n := range counts {
		apps = append(apps, app{Name: name, Hue: hue(name), Count: n})
	}
	slices.SortFunc(apps, func(a, b app) int { return cmp.Compare(a.Name, b.Name) })
	return apps
}

// newDay returns the day with all events that overlap it. An event that ends at midnight
// does not overlap the day that begins then.
func newDay(start time.Time, events []Event, now time.Time) day {
	d := day{
		ISO: start.Format(time.DateOnly), Weekday: start.Format("Monday"),
		Number: start.Day(), Month: start.Format("January"),
		Today: midnight(now).Equal(start), Past: midnight(now).After(start),
	}
	end := start.AddDate(0, 0, 1)
	for _, e := range events {
		if e.StartTime.Before(end) && e.EndTime.After(start) {
			d.Entries = append(d.Entries, newEntry(e, start, end))
		}
	}
	return d
}

func newEntry(e Event, dayStart, dayEnd time.Time) entry {
	result := entry{ID: e.ID, Name: e.Name, Client: e.Client, Hue: hue(e.Client)}
	before := e.StartTime.Before(dayStart)
	after := e.EndTime.After(dayEnd)
	from := moment{ISO: iso(e.StartTime), Text: e.StartTime.Format("15:04")}
	to := moment{ISO: iso(e.EndTime), Text: e.EndTime.Format("15:04")}
	if e.EndTime.Equal(dayEnd) {
		to.Text = "24:00"
	}
	switch {
	case !e.StartTime.After(dayStart) && !e.EndTime.Before(dayEnd):
		result.Clock = nil // the whole day
	case before:
		to.Word = "until "
		result.Clock = []moment{to}
	case after:
		from.Word = "from "
		result.Clock = []moment{from}
	default:
		to.Word = "–"
		result.Clock = []moment{from, to}
	}
	if before || after {
		layout := "Mon 2 January, 15:04"
		if e.StartTime.Year() != e.EndTime.Year() {
			layout = "Mon 2 January 2006, 15:04"
		}
		result.Span = []moment{
			{ISO: from.ISO, Text: e.StartTime.Format(layout)},
			{Word: " – ", ISO: to.ISO, Text: e.EndTime.Format(layout)},
		}
	}
	return result
}

func iso(t time.Time) string { return t.Format(time.RFC3339Nano) }
