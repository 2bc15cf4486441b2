-- How many contexts each namespace has.
CREATE TABLE tally_timeline_namespaces (
    namespace_id INTEGER PRIMARY KEY NOT NULL,
    contexts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Contexts: kinds of processes. timelines is the number of the newest one; retention_days and abandon_after, in
-- seconds, are NULL where the server's settings say it.
CREATE TABLE tally_timeline_contexts (
    id BLOB PRIMARY KEY NOT NULL,
    namespace_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    timelines INTEGER NOT NULL,
    retention_days INTEGER,
    abandon_after INTEGER,
    UNIQUE (namespace_id, name)
) STRICT, WITHOUT ROWID;

-- Timelines: runs of a process. first_ns and last_ns are by the senders' clocks, in nanoseconds since
-- 1970-01-01 UTC, as they are told to the nanosecond; begun_at and heard_at by the server's,
-- like all other times in microseconds. label is what
-- senders call it, or NULL. After expires_at it is deleted, with its events.
CREATE TABLE tally_timelines (
    id BLOB PRIMARY KEY NOT NULL,
    context_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    label TEXT,
    begun_at INTEGER NOT NULL,
    heard_at INTEGER NOT NULL,
    expires_at INTEGER,
    first_ns INTEGER,
    last_ns INTEGER,
    events INTEGER NOT NULL,
    open_events INTEGER NOT NULL,
    abandoned_events INTEGER NOT NULL,
    failed_events INTEGER NOT NULL,
    UNIQUE (context_id, number),
    UNIQUE (context_id, label)
) STRICT, WITHOUT ROWID;

-- Timelines that are to be deleted.
CREATE INDEX tally_timelines_expires ON tally_timelines (expires_at) WHERE expires_at IS NOT NULL;

-- Events: one attempt each, or a point. kind is 0 attempt, 1 point; rank is which attempt of its name, host and
-- span it is; status is 0 ok, 1 failed, 2 skipped. Attributes and phases are JSON. An event without a start is
-- an end that came alone.
CREATE TABLE tally_timeline_events (
    timeline_id BLOB NOT NULL,
    number INTEGER NOT NULL,
    context_id BLOB NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    span TEXT NOT NULL,
    kind INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    started_ns INTEGER,
    start_received_at INTEGER,
    start_attributes TEXT NOT NULL,
    ended_ns INTEGER,
    end_received_at INTEGER,
    end_attributes TEXT NOT NULL,
    status INTEGER NOT NULL,
    phases TEXT NOT NULL,
    overdue_at INTEGER,
    abandoned_at INTEGER,
    PRIMARY KEY (timeline_id, number)
) STRICT, WITHOUT ROWID;

-- What a timeline has of a name and host.
CREATE INDEX tally_timeline_events_key ON tally_timeline_events (timeline_id, name, host, span) WHERE kind = 0;

-- Starts without ends and ends without starts, whose other half may come to any timeline. Ids of timelines
-- are in the order in which they were made.
CREATE INDEX tally_timeline_events_half ON tally_timeline_events (context_id, name, host, span, timeline_id)
    WHERE kind = 0 AND (started_ns IS NULL OR ended_ns IS NULL);

-- For sweeps: their cost is that of what is overdue.
CREATE INDEX tally_timeline_events_overdue ON tally_timeline_events (overdue_at) WHERE overdue_at IS NOT NULL;

-- Messages that are known if they come again: once is a hash of the idempotency key, or of what the message is
-- about and its sender's time, or a random number; fingerprint is a hash of what was said under a key.
CREATE TABLE tally_timeline_messages (
    context_id BLOB NOT NULL,
    once BLOB NOT NULL,
    fingerprint INTEGER NOT NULL,
    timeline_id BLOB NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (context_id, once)
) STRICT, WITHOUT ROWID;

-- Messages that are old enough to be forgotten.
CREATE INDEX tally_timeline_messages_received ON tally_timeline_messages (received_at);

-- How long the events of a name and host took in each timeline: the longest attempt that ended well, how much of
-- it was waiting, and how many failed. They outlive their events. took and waited count microseconds.
CREATE TABLE tally_timeline_durations (
    context_id BLOB NOT NULL,
    timeline_number INTEGER NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    span TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    took INTEGER,
    waited INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (context_id, timeline_number, name, host, span)
) STRICT, WITHOUT ROWID;

-- Durations that are old enough to be deleted.
CREATE INDEX tally_timeline_durations_begun ON tally_timeline_durations (begun_at);
