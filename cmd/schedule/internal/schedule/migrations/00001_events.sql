-- Times are UTC text of one fixed width (2013-08-01T16:20:00.000000000Z), so
-- that the order of the text is the order of the times.

-- +goose Up
CREATE TABLE events (
    id              TEXT NOT NULL PRIMARY KEY,
    client          TEXT NOT NULL,
    name            TEXT NOT NULL,
    start_time      TEXT NOT NULL,
    end_time        TEXT NOT NULL,
    created_at      TEXT NOT NULL,
    idempotency_key TEXT,
    CHECK (start_time < end_time)
) STRICT;

CREATE INDEX events_by_start ON events (start_time, id);
CREATE INDEX events_by_end ON events (end_time);
CREATE UNIQUE INDEX events_by_key ON events (client, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- +goose Down
DROP TABLE events;
