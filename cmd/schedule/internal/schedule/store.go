package schedule

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"github.com/certgate/certgate/cmd/schedule/internal/event"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readers is the number of connections for reading. In WAL mode they never wait for the
// writer.
const readers = 4

// Store is the SQLite database with the events. It is safe for concurrent use, also by
// several processes. [Open] returns a valid one; the zero value cannot be used.
type Store struct {
	writer *sql.DB // one connection, because SQLite permits one writer at a time
	reader *sql.DB
}

// Open opens the database file at path. It creates the file if it does not exist, and
// migrates its tables. The caller must close the store. Committed events are on the disk
// (synchronous FULL) when [Store.Add] returns.
func Open(ctx context.Context, path string) (*Store, error) {
	if path == "" {
		return nil, errors.New("open the schedule: want a path, found none")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the schedule: %w", err)
	}
	s, err := openPools(absolute)
	if err != nil {
		return nil, fmt.Errorf("open the schedule %q: %w", path, err)
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the schedule %q: %w", path, err), s.Close())
	}
	return s, nil
}

func openPools(absolute string) (*Store, error) {
	dsn := "file:" + (&url.URL{Path: absolute}).EscapedPath() +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=foreign_keys(1)&_txlock=immediate"
	writer, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	reader, err := sql.Open("sqlite", dsn+"&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader.SetMaxOpenConns(readers)
	reader.SetMaxIdleConns(readers)
	return &Store{writer: writer, reader: reader}, nil
}

func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// Close closes the database. The store cannot be used afterwards.
func (s *Store) Close() error {
	return errors.Join(s.reader.Close(), s.writer.Close())
}

// Check runs a query and returns an error if the database does not respond.
func (s *Store) Check(ctx context.Context) error {
	var n int
	return s.reader.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM events LIMIT 1)`).Scan(&n)
}

// Addition is the input of [Store.Add]. Key is the client's idempotency key. If it is
// empty, a repeated call adds another event.
type Addition struct {
	Client string
	Key    string
	Draft  event.Draft
	Now    time.Time
}

// Add stores the draft as a new event of the client. If the client has used the key
// before for the same draft, Add changes nothing and returns the earlier event and true.
// For another draft it returns [ErrKeyReused]. Keys belong to one client and never expire.
func (s *Store) Add(ctx context.Context, a Addition) (e Event, replayed bool, err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return Event{}, false, fmt.Errorf("add an event: %w", err)
	}
	defer func() {
		if rollback := tx.Rollback(); !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, rollback)
		}
	}()
	earlier, err := findKey(ctx, tx, a)
	if !errors.Is(err, ErrNotFound) {
		return earlier, err == nil, err
	}
	if e, err = insert(ctx, tx, a); err != nil {
		return Event{}, false, fmt.Errorf("add an event: %w", err)
	}
	if err = tx.Commit(); err != nil {
		return Event{}, false, fmt.Errorf("add an event: %w", err)
	}
	return e, false, nil
}

// findKey returns the event that was added with the same key, or [ErrNotFound].
func findKey(ctx context.Context, tx *sql.Tx, a Addition) (Event, error) {
	if a.Key == "" {
		return Event{}, ErrNotFound
	}
	e, err := scan(tx.QueryRowContext(ctx,
		`SELECT `+columns+` FROM events WHERE client = ? AND idempotency_key = ?`, a.Client, a.Key))
	if err != nil {
		return Event{}, err
	}
	if !e.draft().Equal(a.Draft) {
		return Event{}, ErrKeyReused
	}
	return e, nil
}

func insert(ctx context.Context, tx *sql.Tx, a Addition) (Event, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Event{}, err
	}
	e := Event{
		ID: id.String(), Client: a.Client, Name: a.Draft.Name,
		StartTime: a.Draft.Start.UTC(), EndTime: a.Draft.End.UTC(),
		CreatedAt: a.Now.UTC().Truncate(time.Millisecond),
	}
	key := sql.NullString{String: a.Key, Valid: a.Key != ""}
	_, err = tx.ExecContext(ctx, `INSERT INTO events (`+columns+`, idempotency_key) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		e.ID, e.Client, e.Name, stamp(e.StartTime), stamp(e.EndTime), stamp(e.CreatedAt), key)
	return e, err
}
