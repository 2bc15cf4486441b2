-- Stores a timeline that is new or has changed.
INSERT INTO tally_timelines (
    id, context_id, number, label, begun_at, heard_at, expires_at, first_ns, last_ns, events, open_events,
    abandoned_events, failed_events
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
ON CONFLICT (id) DO UPDATE SET
    heard_at = excluded.heard_at, expires_at = excluded.expires_at, first_ns = excluded.first_ns,
    last_ns = excluded.last_ns, events = excluded.events, open_events = excluded.open_events,
    abandoned_events = excluded.abandoned_events, failed_events = excluded.failed_events
