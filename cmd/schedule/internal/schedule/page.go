package schedule

import (
	"bytes"
	"crypto/rand"
	_ "embed" // the page
	"errors"
	"html/template"
	"net/http"

	"github.com/gin-gonic/gin"
)

//go:embed page.gohtml
var pageText string

// maxShown is the limit for the events on a page. GET /events lists all of them.
const maxShown = 500

func parsePage() *template.Template {
	return template.Must(template.New("page").Parse(pageText))
}

// showWeek renders the week that contains the day in the parameter "week". If the
// parameter is not a date, the page shows the current week and a notice, with status 422.
func (s *server) showWeek(c *gin.Context) error {
	now := s.now().UTC()
	status, notice, shown := http.StatusOK, "", weekOf(now)
	if text := c.Query("week"); text != "" {
		day, err := parseDay(text)
		if err != nil {
			status, notice = http.StatusUnprocessableEntity, "The week was not understood: "+err.Error()+". This is the current one."
		} else {
			shown = weekOf(day)
		}
	}
	a, err := s.agenda(c, shown)
	if err != nil {
		return err
	}
	a.Notice = notice
	return s.render(c, status, a)
}

func (s *server) agenda(c *gin.Context, w week) (agenda, error) {
	ctx := c.Request.Context()
	events, err := s.store.List(ctx, Query{From: w.monday, To: w.end(), Limit: maxShown + 1})
	if err != nil {
		return agenda{}, err
	}
	more := len(events) > maxShown
	a := newAgenda(w, events[:min(len(events), maxShown)], s.now())
	a.More = more
	if len(events) > 0 {
		return a, nil
	}
	nearest, err := s.store.Nearest(ctx, w.monday, w.end())
	if errors.Is(err, ErrNotFound) {
		return a, nil
	}
	if err != nil {
		return agenda{}, err
	}
	a.Nearest = linkTo(nearest, w)
	return a, nil
}

// linkTo returns the link from an empty week to the week of the nearest event.
func linkTo(e Event, from week) *weekLink {
	there := weekOf(e.StartTime)
	if e.StartTime.Before(from.monday) {
		there = weekOf(e.EndTime.Add(-1)) // an event that ends at midnight ends the day before
	}
	return &weekLink{Link: there.link(), Title: there.title()}
}

// render writes the page. The policy permits only the page's own style, identified by a
// nonce: no other resources, no scripts and no frames.
func (s *server) render(c *gin.Context, status int, a agenda) error {
	a.Nonce = rand.Text()
	var page bytes.Buffer
	if err := s.page.Execute(&page, a); err != nil {
		return err
	}
	c.Header("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+a.Nonce+
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	c.Data(status, "text/html; charset=utf-8", page.Bytes())
	return nil
}
