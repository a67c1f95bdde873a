package schedule

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

func openStore(t *testing.T) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "schedule.db"))
}

func openAt(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// now returns the current time in the tests.
func now() time.Time { return time.Date(2013, time.July, 31, 12, 0, 0, 0, time.UTC) }

// at parses a time.
func at(t *testing.T, text string) time.Time {
	t.Helper()
	result, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func add(t *testing.T, s *Store, client, name, from, to string) Event {
	t.Helper()
	e, _, err := s.Add(t.Context(), Addition{Client: client, Now: now(), Draft: event.Draft{Name: name, Start: at(t, from), End: at(t, to)}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func names(events []Event) []string {
	result := []string{}
	for _, e := range events {
		result = append(result, e.Name)
	}
	return result
}

func TestStoreKeepsEventsAcrossOpenings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a ?%41#b.db") // characters with a meaning in a URI
	first, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	want := add(t, first, "mail", "Meeting", "2013-08-01 16:20", "2013-08-01 18:20")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if found, err := filepath.Glob(filepath.Join(filepath.Dir(path), "a *b.db")); err != nil || len(found) != 1 {
		t.Fatalf("want a file with the given name, found %q, %v", found, err)
	}
	got, err := openAt(t, path).Event(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestStorePragmas(t *testing.T) {
	s := openStore(t)
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "foreign_keys": "1",
	} {
		var got string
		if err := s.writer.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s: want %s, found %s, %v", pragma, want, got, err)
		}
	}
	if _, err := s.reader.ExecContext(t.Context(), "DELETE FROM events"); err == nil {
		t.Error("want a reader that cannot write, found one that can")
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "nowhere", "x.db")} {
		if s, err := Open(t.Context(), path); err == nil {
			t.Errorf("%q: want an error, found none; close: %v", path, s.Close())
		}
	}
}

func TestEventNotFound(t *testing.T) {
	if _, err := openStore(t).Event(t.Context(), "x"); !errors.Is(err, ErrNotFound) {
		t.Errorf("want ErrNotFound, found %v", err)
	}
}

func TestListOverlap(t *testing.T) {
	s := openStore(t)
	add(t, s, "mail", "noon", "2013-08-01 12:00", "2013-08-01 13:00")
	for _, tt := range []struct {
		name, from, to, client string
		want                   []string
	}{
		{name: "everything", want: []string{"noon"}},
		{name: "inside it", from: "2013-08-01 12:20", to: "2013-08-01 12:40", want: []string{"noon"}},
		{name: "it begins at the end", from: "2013-08-01 11:00", to: "2013-08-01 12:00", want: []string{}},
		{name: "it begins before the end", from: "2013-08-01 11:00", to: "2013-08-01 12:01", want: []string{"noon"}},
		{name: "it ends at the start", from: "2013-08-01 13:00", want: []string{}},
		{name: "it ends after the start", from: "2013-08-01 12:59", want: []string{"noon"}},
		{name: "its client", client: "mail", want: []string{"noon"}},
		{name: "another client", client: "Mail", want: []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := Query{Client: tt.client, Limit: 10}
			if tt.from != "" {
				q.From = at(t, tt.from)
			}
			if tt.to != "" {
				q.To = at(t, tt.to)
			}
			events, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, names(events)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	s := openStore(t)
	from, to := at(t, "2013-08-05 00:00"), at(t, "2013-08-12 00:00")
	if _, err := s.Nearest(t.Context(), from, to); !errors.Is(err, ErrNotFound) {
		t.Fatalf("empty: want ErrNotFound, found %v", err)
	}
	for _, step := range []struct{ name, from, to, want string }{
		{"late", "2013-09-01 10:00", "2013-09-01 11:00", "late"},
		{"early", "2013-08-01 10:00", "2013-08-01 11:00", "early"},
		{"soon", "2013-08-12 00:00", "2013-08-12 11:00", "soon"},
		{"just before", "2013-07-01 10:00", "2013-08-05 00:00", "just before"},
	} {
		add(t, s, "mail", step.name, step.from, step.to)
		got, err := s.Nearest(t.Context(), from, to)
		if err != nil || got.Name != step.want {
			t.Errorf("want %q, found %q, %v", step.want, got.Name, err)
		}
	}
}

// TestOneKeyMakesOneEvent checks many concurrent requests with the same key, through two
// stores on one file, as in two processes: one of them adds the event, and all return it.
func TestOneKeyMakesOneEvent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "schedule.db")
	stores := []*Store{openAt(t, path), openAt(t, path)}
	const callers = 16
	var wg sync.WaitGroup
	ids, made := make(chan string, callers), make(chan bool, callers)
	for i := range callers {
		wg.Go(func() {
			e, replayed, err := stores[i%2].Add(t.Context(), Addition{Client: "mail", Key: "k", Draft: meeting(t), Now: now()})
			if err != nil {
				t.Error(err)
			}
			ids <- e.ID
			made <- !replayed
		})
	}
	wg.Wait()
	close(ids)
	close(made)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("want the event %s, found %s", first, id)
		}
	}
	count := 0
	for m := range made {
		if m {
			count++
		}
	}
	events, err := stores[0].List(t.Context(), Query{Limit: 10})
	if count != 1 || len(events) != 1 || err != nil {
		t.Errorf("want one event added once, found %d added %d times, %v", len(events), count, err)
	}
}

func TestKeysBelongToTheirClient(t *testing.T) {
	s := openStore(t)
	base := Addition{Client: "mail", Key: "k", Draft: meeting(t), Now: now()}
	first, _, err := s.Add(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		change   func(*Addition)
		err      error
		replayed bool
	}{
		{"the same again", func(*Addition) {}, nil, true},
		{"later", func(a *Addition) { a.Now = a.Now.Add(time.Hour) }, nil, true},
		{"another client", func(a *Addition) { a.Client = "social" }, nil, false},
		{"another key", func(a *Addition) { a.Key = "K" }, nil, false},
		{"no key", func(a *Addition) { a.Key = "" }, nil, false},
		{"another name", func(a *Addition) { a.Draft.Name = "Other" }, ErrKeyReused, false},
		{"another start", func(a *Addition) { a.Draft.Start = a.Draft.Start.Add(1) }, ErrKeyReused, false},
		{"another end", func(a *Addition) { a.Draft.End = a.Draft.End.Add(1) }, ErrKeyReused, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := base
			tt.change(&a)
			e, replayed, err := s.Add(t.Context(), a)
			if !errors.Is(err, tt.err) || replayed != tt.replayed {
				t.Fatalf("want %v, %t, found %v, %t", tt.err, tt.replayed, err, replayed)
			}
			if same := e == first; same != tt.replayed {
				t.Errorf("want the first event: %t, found %+v", tt.replayed, e)
			}
		})
	}
}
