package schedule

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

const (
	maxBodyBytes = 64 << 10
	maxKeyLength = 255
)

type eventResponse struct {
	Event Event `json:"event"`
}

type listResponse struct {
	Events []Event `json:"events"`
	Next   string  `json:"next,omitempty"`
}

func (s *server) addEvent(c *gin.Context, client string) error {
	body, err := readJSON(c)
	if err != nil {
		return err
	}
	draft, faults := event.ParseDraft(body)
	key, keyFaults := idempotencyKey(c.Request.Header)
	if faults = append(faults, keyFaults...); len(faults) > 0 {
		return invalidEvent(faults)
	}
	stored, replayed, err := s.store.Add(c.Request.Context(), Addition{Client: client, Key: key, Draft: draft, Now: s.now()})
	if err != nil {
		return err
	}
	if replayed {
		c.Header("Idempotency-Replayed", "true")
	}
	c.Header("Location", "/events/"+stored.ID)
	respond(c, http.StatusCreated, "application/json", eventResponse{stored})
	return nil
}

func (s *server) showEvent(c *gin.Context, _ string) error {
	stored, err := s.store.Event(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	respond(c, http.StatusOK, "application/json", eventResponse{stored})
	return nil
}

func (s *server) listEvents(c *gin.Context, _ string) error {
	query, faults := s.parseQuery(c.Request.URL.RawQuery)
	if len(faults) > 0 {
		return invalidQuery(faults)
	}
	limit := query.Limit
	query.Limit++ // one more, to know whether there is a next page
	events, err := s.store.List(c.Request.Context(), query)
	if err != nil {
		return err
	}
	result := listResponse{Events: events}
	if len(events) > limit {
		result.Events = events[:limit]
		last := events[limit-1]
		result.Next = Position{last.StartTime, last.ID}.String()
		c.Header("Link", nextLink(c.Request.URL, result.Next))
	}
	respond(c, http.StatusOK, "application/json", result)
	return nil
}

// nextLink returns the link to the next page (RFC 8288): the same query with the cursor.
func nextLink(u *url.URL, cursor string) string {
	query := u.Query()
	query.Set("cursor", cursor)
	return fmt.Sprintf(`</events?%s>; rel="next"`, query.Encode())
}

// readJSON reads the body of a request with the content type application/json.
func readJSON(c *gin.Context) ([]byte, error) {
	if !isJSON(c.Request.Header.Values("Content-Type")) {
		c.Header("Accept", "application/json")
		return nil, refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "The body is not JSON",
			"Want the header Content-Type: application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBodyBytes))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, refuse(http.StatusRequestEntityTooLarge, "body_too_large", "The body is too large",
			fmt.Sprintf("Want at most %d bytes.", maxBodyBytes))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", refuse(http.StatusBadRequest, "body_unreadable", "The body is incomplete",
			"The connection ended or timed out before the end of the body."), err)
	}
	return body, nil
}

// isJSON reports whether the only Content-Type is application/json. The charset may be
// utf-8, the only encoding of RFC 8259.
func isJSON(values []string) bool {
	if len(values) != 1 {
		return false
	}
	mediaType, parameters, err := mime.ParseMediaType(values[0])
	if err != nil || mediaType != "application/json" {
		return false
	}
	charset, ok := parameters["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}

// idempotencyKey returns the value of the Idempotency-Key header, or "" without a header.
// An empty or repeated header is a fault.
func idempotencyKey(h http.Header) (string, []event.Fault) {
	values := h.Values(headerKey)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", []event.Fault{{Field: headerKey, Detail: fmt.Sprintf("want one header, found %d", len(values))}}
	}
	key := values[0]
	if len(key) < 1 || len(key) > maxKeyLength || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", []event.Fault{{Field: headerKey, Detail: fmt.Sprintf("want 1 to %d visible ASCII characters, found %s", maxKeyLength, event.Quote(key))}}
	}
	return key, nil
}
