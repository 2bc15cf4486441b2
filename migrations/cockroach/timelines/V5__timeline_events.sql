-- Events: one attempt each, or a point. kind is 0 attempt, 1 point; rank is which attempt of its name, host and
-- span it is; status is 0 ok, 1 failed, 2 skipped. Attributes and phases are JSON. An event without a start is
-- an end that came alone.
CREATE TABLE IF NOT EXISTS tally_timeline_events (
    timeline_id UUID NOT NULL,
    number INT8 NOT NULL,
    context_id UUID NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    span TEXT NOT NULL,
    kind INT8 NOT NULL,
    rank INT8 NOT NULL,
    started_ns INT8,
    start_received_at TIMESTAMPTZ,
    start_attributes TEXT NOT NULL,
    ended_ns INT8,
    end_received_at TIMESTAMPTZ,
    end_attributes TEXT NOT NULL,
    status INT8 NOT NULL,
    phases TEXT NOT NULL,
    overdue_at TIMESTAMPTZ,
    abandoned_at TIMESTAMPTZ,
    PRIMARY KEY (timeline_id, number)
)
