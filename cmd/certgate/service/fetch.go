package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// fetchTimeout limits one fetch of the JWK set.
	fetchTimeout = 5 * time.Second
	// fetchInterval is the shortest time between two fetches, so that unknown ids in requests
	// do not cause more of them.
	fetchInterval = 5 * time.Second
	// maxKeySetBytes limits the JWK set. The gateway's has less than 1 KiB.
	maxKeySetBytes = 64 << 10

	// Limits of the age at which the set is fetched again. Cache-Control decides between
	// them.
	defaultMaxAge = 5 * time.Minute
	minMaxAge     = time.Minute
	maxMaxAge     = time.Hour
)

// fetched is a [keySource] with the keys of a URL. It fetches the JWK set when a request
// needs it: for an unknown id, and when the set is older than its maximum age. Until the
// set has twice that age, requests with a known id do not wait for the fetch. A set that
// could not be fetched or is invalid does not replace the last good one.
type fetched struct {
	url     string
	client  *http.Client
	now     func() time.Time
	onError func(error)

	mu      sync.Mutex
	current keySet // nil before the first successful fetch
	since   time.Time
	maxAge  time.Duration
	last    time.Time     // the start of the last fetch
	running chan struct{} // closed at the end of the running fetch; nil without one
}

func newFetched(o Options) (*fetched, error) {
	u, err := url.Parse(o.KeySetURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("want an http or https URL of a JWK set, found %q", o.KeySetURL)
	}
	f := &fetched{url: o.KeySetURL, client: o.HTTPClient, now: o.Now, onError: o.OnKeyError}
	if f.client == nil {
		f.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if f.onError == nil {
		f.onError = func(error) {}
	}
	return f, nil
}

func (f *fetched) find(ctx context.Context, id string) (key, error) {
	if wait := f.prepare(id); wait != nil {
		select {
		case <-wait:
		case <-ctx.Done(): // the client has closed the connection
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current == nil {
		return key{}, refuse(KeysUnavailable, "want the JWK set of %s, which could not be fetched", f.url)
	}
	return f.current.find(ctx, id)
}

// prepare starts a fetch if it is necessary and none has begun within [fetchInterval]. It
// returns a channel if the request must wait for a fetch.
func (f *fetched) prepare(id string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.current[id]
	now := f.now()
	age := now.Sub(f.since)
	if known && age < f.maxAge {
		return nil
	}
	if f.running == nil && (f.last.IsZero() || now.Sub(f.last) >= fetchInterval) {
		f.last, f.running = now, make(chan struct{})
		go f.refresh(now)
	}
	if known && age < 2*f.maxAge {
		return nil
	}
	return f.running
}

// refresh fetches the set and ends the running fetch.
func (f *fetched) refresh(now time.Time) {
	keys, maxAge, err := f.fetch()
	if err != nil {
		f.onError(fmt.Errorf("want the JWK set of %s: %w", f.url, err))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.current, f.since, f.maxAge = keys, now, maxAge
	}
	close(f.running)
	f.running = nil
}

// fetch does not depend on the context of a request, because other requests wait for the
// same fetch.
func (f *fetched) fetch() (keySet, time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil) //nolint:gosec // the operator of the service sets the URL
	if err != nil {
		return nil, 0, err
	}
	response, err := f.client.Do(request) //nolint:gosec // the operator of the service sets the URL
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("want status 200, found %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKeySetBytes+1))
	if err != nil {
		return nil, 0, err
	}
	if len(text) > maxKeySetBytes {
		return nil, 0, errors.New("want at most 64 KiB")
	}
	keys, err := parseKeys(text)
	return keys, maxAgeOf(response.Header), err
}

// maxAgeOf returns the max-age of Cache-Control between the limits.
func maxAgeOf(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return minMaxAge
		case "max-age":
			if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
				return min(max(time.Duration(seconds)*time.Second, minMaxAge), maxMaxAge)
			}
		}
	}
	return defaultMaxAge
}
