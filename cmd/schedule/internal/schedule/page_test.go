package schedule

import (
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

func (s *service) page(query string, status int) reply {
	s.t.Helper()
	r := s.do(http.MethodGet, "/"+query, "", http.Header{})
	if r.status != status || r.header.Get("Content-Type") != "text/html; charset=utf-8" {
		s.t.Fatalf("want a page with status %d, found %d %s", status, r.status, r.header.Get("Content-Type"))
	}
	return r
}

// mustContain checks that the page contains all texts.
func (r reply) mustContain(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.body, text) {
			t.Errorf("want the page to contain %q", text)
		}
	}
}

func (r reply) mustNotContain(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(r.body, text) {
			t.Errorf("want the page not to contain %q", text)
		}
	}
}

func TestPageShowsTheWeekOfEveryApp(t *testing.T) {
	s := serve(t)
	add(t, s.store, "mail", "Meeting", "2013-08-01 16:20", "2013-08-01 18:20")
	add(t, s.store, "social", "Party", "2013-08-04 22:00", "2013-08-05 00:00")
	add(t, s.store, "social", "Next Monday", "2013-08-05 00:00", "2013-08-05 01:00")
	add(t, s.store, "social", "Last Sunday", "2013-07-28 23:00", "2013-07-29 00:00")
	for _, query := range []string{"", "?week=2013-07-29", "?week=2013-08-04"} {
		page := s.page(query, http.StatusOK)
		page.mustContain(t, "29 July – 4 August 2013", "Meeting", "Party", ">mail<", ">social<", "UTC",
			`<time datetime="2013-08-01T16:20:00Z">16:20</time>–<time datetime="2013-08-01T18:20:00Z">18:20</time>`,
			`>24:00</time>`, `href="/?week=2013-07-22"`, `href="/?week=2013-08-05"`, `<span class="badge">Today</span>`,
			fmt.Sprintf(".hue-%d { --hue: %[1]d }", hue("mail")), fmt.Sprintf(".hue-%d { --hue: %[1]d }", hue("social")))
		page.mustNotContain(t, "Next Monday", "Last Sunday")
	}
}

func TestPageEscapes(t *testing.T) {
	s := serve(t)
	add(t, s.store, "mail", `<script>alert(1)</script>"'&`, "2013-08-01 16:20", "2013-08-01 18:20")
	page := s.page("", http.StatusOK)
	page.mustContain(t, "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;")
	page.mustNotContain(t, "<script")
	wrong := s.page("?week=%3Cscript%3E", http.StatusUnprocessableEntity)
	wrong.mustContain(t, "&lt;script&gt;", "The week was not understood")
	wrong.mustNotContain(t, "<script")
}

func TestPagePolicy(t *testing.T) {
	s := serve(t)
	first, second := s.page("", http.StatusOK), s.page("", http.StatusOK)
	nonce := regexp.MustCompile(`<style nonce="([A-Z2-7]{26})">`).FindStringSubmatch(first.body)
	if nonce == nil {
		t.Fatal("want a style with a nonce, found none")
	}
	want := "default-src 'none'; style-src 'nonce-" + nonce[1] + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	if got := first.header.Get("Content-Security-Policy"); got != want {
		t.Errorf("want %s, found %s", want, got)
	}
	if first.header.Get("Content-Security-Policy") == second.header.Get("Content-Security-Policy") {
		t.Error("want another nonce for each response")
	}
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if got := first.header.Get(name); got != want {
			t.Errorf("%s: want %q, found %q", name, want, got)
		}
	}
	first.mustNotContain(t, "style=", "src=", "http:", "https:", "url(")
	first.mustContain(t, `<html lang="en">`, `name="viewport"`, `name="color-scheme"`, "<main>", "<nav", "<header>", "<footer>")
}

func TestPageOfAnEmptyWeek(t *testing.T) {
	s := serve(t)
	empty := s.page("", http.StatusOK)
	empty.mustContain(t, "Nothing is planned this week", "No application has added an event yet")
	add(t, s.store, "mail", "Trip", "2013-07-10 10:00", "2013-07-22 00:00") // ends with a Sunday
	s.page("", http.StatusOK).mustContain(t, `<a href="/?week=2013-07-15">15 – 21 July 2013</a>`)
	add(t, s.store, "mail", "Soon", "2013-08-06 10:00", "2013-08-06 11:00")
	s.page("", http.StatusOK).mustContain(t, `<a href="/?week=2013-08-05">5 – 11 August 2013</a>`)
}

func TestPageLimit(t *testing.T) {
	s := serve(t)
	for range maxShown + 1 {
		add(t, s.store, "mail", "Meeting", "2013-08-01 16:20", "2013-08-01 18:20")
	}
	page := s.page("", http.StatusOK)
	page.mustContain(t, "the first 500 are shown")
	if n := strings.Count(page.body, `<li class="entry`); n != maxShown {
		t.Errorf("want %d entries, found %d", maxShown, n)
	}
}

// TestPageOfFirstAndLastWeek checks that the first and the last week have no link beyond the
// range of events.
func TestPageOfFirstAndLastWeek(t *testing.T) {
	s := serve(t)
	last := event.Draft{Name: "The end", Start: time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC), End: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)}
	if _, _, err := s.store.Add(t.Context(), Addition{Client: "mail", Draft: last, Now: now()}); err != nil {
		t.Fatal(err)
	}
	s.page("?week=9999-12-31", http.StatusOK).mustContain(t, "No later week", "The end")
	s.page("?week=0001-01-02", http.StatusOK).mustContain(t, "No earlier week", `href="/?week=9999-12-27"`)
	s.page("?week=0001-01-01", http.StatusUnprocessableEntity)
	s.page("?week=10000-01-01", http.StatusUnprocessableEntity)
}

func TestEventOfSeveralDays(t *testing.T) {
	clock := func(e entry) string {
		var text strings.Builder
		for _, m := range e.Clock {
			text.WriteString(m.Word + m.Text)
		}
		return text.String()
	}
	for _, tt := range []struct {
		name, from, to string
		want           []string // one for each day from Monday; "-" where it is not shown
		span           bool
	}{
		{"within a day", "2013-08-01 16:20", "2013-08-01 18:20", []string{"-", "-", "-", "16:20–18:20", "-", "-", "-"}, false},
		{"until midnight", "2013-08-01 16:20", "2013-08-02 00:00", []string{"-", "-", "-", "16:20–24:00", "-", "-", "-"}, false},
		{"a whole day", "2013-08-01 00:00", "2013-08-02 00:00", []string{"-", "-", "-", "", "-", "-", "-"}, false},
		{"over midnight", "2013-08-01 22:00", "2013-08-02 02:00", []string{"-", "-", "-", "from 22:00", "until 02:00", "-", "-"}, true},
		{"three days", "2013-08-01 22:00", "2013-08-03 02:00", []string{"-", "-", "-", "from 22:00", "", "until 02:00", "-"}, true},
		{"longer than the week", "2013-07-01 22:00", "2013-08-31 02:00", []string{"", "", "", "", "", "", ""}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := Event{Client: "mail", StartTime: at(t, tt.from), EndTime: at(t, tt.to)}
			var got []string
			for _, d := range newAgenda(weekOf(now()), []Event{e}, now()).Days {
				text := "-"
				for _, shown := range d.Entries {
					text = clock(shown)
					if (len(shown.Span) > 0) != tt.span {
						t.Errorf("want a span: %t, found %v", tt.span, shown.Span)
					}
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestContrast checks that text of every hue has the contrast of WCAG 2.2 AA (4.5 to 1) with
// its background, in the light and in the dark theme.
func TestContrast(t *testing.T) {
	page := serve(t).page("", http.StatusOK).body
	colours := regexp.MustCompile(`--(tint|name): oklch\(([0-9.]+) ([0-9.]+) var\(--hue\)\)`).FindAllStringSubmatch(page, -1)
	if len(colours) != 4 {
		t.Fatalf("want a background and a text colour for both themes, found %v", colours)
	}
	for i := 0; i < len(colours); i += 2 {
		for angle := range 360 {
			tint, name := luminance(t, colours[i], angle), luminance(t, colours[i+1], angle)
			if ratio := (max(tint, name) + 0.05) / (min(tint, name) + 0.05); ratio < 4.5 {
				t.Errorf("hue %d, set %d: want 4.5, found %.2f", angle, i/2, ratio)
			}
		}
	}
}

// luminance returns the relative luminance of an OKLCH colour, clipped to sRGB
// (CSS Color 4, section 9; WCAG 2.2, relative luminance).
func luminance(t *testing.T, colour []string, angle int) float64 {
	t.Helper()
	lightness, err1 := strconv.ParseFloat(colour[2], 64)
	chroma, err2 := strconv.ParseFloat(colour[3], 64)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	sin, cos := math.Sincos(float64(angle) * math.Pi / 180)
	a, b := chroma*cos, chroma*sin
	cube := func(v float64) float64 { return v * v * v }
	l := cube(lightness + 0.3963377774*a + 0.2158037573*b)
	m := cube(lightness - 0.1055613458*a - 0.0638541728*b)
	s := cube(lightness - 0.0894841775*a - 1.2914855480*b)
	clipped := func(v float64) float64 { return min(max(v, 0), 1) }
	red := clipped(4.0767416621*l - 3.3077115913*m + 0.2309699292*s)
	green := clipped(-1.2684380046*l + 2.6097574011*m - 0.3413193965*s)
	blue := clipped(-0.0041960863*l - 0.7034186147*m + 1.7076147010*s)
	return 0.2126*red + 0.7152*green + 0.0722*blue
}
