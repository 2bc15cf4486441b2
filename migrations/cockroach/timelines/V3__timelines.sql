-- Timelines: runs of a process. first_ns and last_ns are by the senders' clocks, in nanoseconds since
-- 1970-01-01 UTC, as they are told to the nanosecond; begun_at and heard_at by the server's. label is what
-- senders call it, or NULL. After expires_at it is deleted, with its events.
CREATE TABLE IF NOT EXISTS tally_timelines (
    id UUID NOT NULL PRIMARY KEY,
    context_id UUID NOT NULL,
    number INT8 NOT NULL,
    label TEXT,
    begun_at TIMESTAMPTZ NOT NULL,
    heard_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    first_ns INT8,
    last_ns INT8,
    events INT8 NOT NULL,
    open_events INT8 NOT NULL,
    abandoned_events INT8 NOT NULL,
    failed_events INT8 NOT NULL,
    UNIQUE (context_id, number),
    UNIQUE (context_id, label)
)
