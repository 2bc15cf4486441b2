-- How many contexts each namespace has.
CREATE TABLE tally_timeline_namespaces (
    namespace_id BIGINT PRIMARY KEY,
    contexts BIGINT NOT NULL
);

-- Contexts: kinds of processes. timelines is the number of the newest one; retention_days and abandon_after, in
-- seconds, are NULL where the server's settings say it.
CREATE TABLE tally_timeline_contexts (
    id UUID PRIMARY KEY,
    namespace_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    timelines BIGINT NOT NULL,
    retention_days BIGINT,
    abandon_after BIGINT,
    UNIQUE (namespace_id, name)
);

-- Timelines: runs of a process. first_ns and last_ns are by the senders' clocks, in nanoseconds since
-- 1970-01-01 UTC, as they are told to the nanosecond; begun_at and heard_at by the server's. label is what
-- senders call it, or NULL. After expires_at it is deleted, with its events.
CREATE TABLE tally_timelines (
    id UUID PRIMARY KEY,
    context_id UUID NOT NULL,
    number BIGINT NOT NULL,
    label TEXT,
    begun_at TIMESTAMPTZ NOT NULL,
    heard_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    first_ns BIGINT,
    last_ns BIGINT,
    events BIGINT NOT NULL,
    open_events BIGINT NOT NULL,
    abandoned_events BIGINT NOT NULL,
    failed_events BIGINT NOT NULL,
    UNIQUE (context_id, number),
    UNIQUE (context_id, label)
);

-- Timelines that are to be deleted.
CREATE INDEX tally_timelines_expires ON tally_timelines (expires_at) WHERE expires_at IS NOT NULL;

-- Events: one attempt each, or a point. kind is 0 attempt, 1 point; rank is which attempt of its name, host and
-- span it is; status is 0 ok, 1 failed, 2 skipped. Attributes and phases are JSON. An event without a start is
-- an end that came alone.
CREATE TABLE tally_timeline_events (
    timeline_id UUID NOT NULL,
    number BIGINT NOT NULL,
    context_id UUID NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    span TEXT NOT NULL,
    kind BIGINT NOT NULL,
    rank BIGINT NOT NULL,
    started_ns BIGINT,
    start_received_at TIMESTAMPTZ,
    start_attributes TEXT NOT NULL,
    ended_ns BIGINT,
    end_received_at TIMESTAMPTZ,
    end_attributes TEXT NOT NULL,
    status BIGINT NOT NULL,
    phases TEXT NOT NULL,
    overdue_at TIMESTAMPTZ,
    abandoned_at TIMESTAMPTZ,
    PRIMARY KEY (timeline_id, number)
);

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
    context_id UUID NOT NULL,
    once UUID NOT NULL,
    fingerprint BIGINT NOT NULL,
    timeline_id UUID NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (context_id, once)
);

-- Messages that are old enough to be forgotten.
CREATE INDEX tally_timeline_messages_received ON tally_timeline_messages (received_at);

-- How long the events of a name and host took in each timeline: the longest attempt that ended well, how much of
-- it was waiting, and how many failed. They outlive their events. took and waited count microseconds.
CREATE TABLE tally_timeline_durations (
    context_id UUID NOT NULL,
    timeline_number BIGINT NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    span TEXT NOT NULL,
    begun_at TIMESTAMPTZ NOT NULL,
    took BIGINT,
    waited BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    PRIMARY KEY (context_id, timeline_number, name, host, span)
);

-- Durations that are old enough to be deleted.
CREATE INDEX tally_timeline_durations_begun ON tally_timeline_durations (begun_at);
