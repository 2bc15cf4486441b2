-- Stores timelines that are new or have changed. Their contexts are locked.
INSERT INTO tally_timelines (
    id, context_id, number, label, begun_at, heard_at, expires_at, first_ns, last_ns, events, open_events,
    abandoned_events, failed_events
)
SELECT * FROM unnest(
    $1::UUID[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::TIMESTAMPTZ[], $6::TIMESTAMPTZ[], $7::TIMESTAMPTZ[],
    $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[], $13::BIGINT[]
)
ON CONFLICT (id) DO UPDATE SET
    heard_at = excluded.heard_at, expires_at = excluded.expires_at, first_ns = excluded.first_ns,
    last_ns = excluded.last_ns, events = excluded.events, open_events = excluded.open_events,
    abandoned_events = excluded.abandoned_events, failed_events = excluded.failed_events
