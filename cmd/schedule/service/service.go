// Package service runs the example service inside another process.
//
// cmd/demo uses it to run the whole system in one process. The implementation is
// in cmd/schedule/internal, which Go allows only packages below cmd/schedule to
// import.
package service

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	assertion "github.com/certgate/certgate/cmd/certgate/service"
	"github.com/certgate/certgate/cmd/schedule/internal/schedule"
)

// Options configure a [Service]. All fields except Verifier are required.
type Options struct {
	// Database is the path of the SQLite file, which is created if it is missing.
	Database string
	// Log receives faults of the service.
	Log *zap.Logger
	// Now returns the current time.
	Now func() time.Time
	// Verifier verifies the assertions of requests below /events. If nil, X-Client-Id is
	// trusted.
	Verifier *assertion.Verifier
}

// Service is the example service with an open database. It is safe for concurrent use.
type Service struct {
	store   *schedule.Store
	handler http.Handler
}

// Open opens the database and returns the service. Close it with [Service.Close].
func Open(ctx context.Context, o Options) (*Service, error) {
	store, err := schedule.Open(ctx, o.Database)
	if err != nil {
		return nil, err
	}
	handler := schedule.NewHandler(schedule.Options{Store: store, Log: o.Log, Now: o.Now, Verifier: o.Verifier})
	return &Service{store: store, handler: handler}, nil
}

// ServeHTTP serves the API and the page of the service.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Close closes the database.
func (s *Service) Close() error { return s.store.Close() }
