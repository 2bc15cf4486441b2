-- Stores events that are new or have changed. Their contexts are locked.
INSERT INTO tally_timeline_events (
    timeline_id, number, context_id, name, host, span, kind, rank, started_ns, start_received_at,
    start_attributes, ended_ns, end_received_at, end_attributes, status, phases, overdue_at, abandoned_at
)
SELECT * FROM unnest(
    $1::UUID[], $2::BIGINT[], $3::UUID[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BIGINT[], $8::BIGINT[],
    $9::BIGINT[], $10::TIMESTAMPTZ[], $11::TEXT[], $12::BIGINT[], $13::TIMESTAMPTZ[], $14::TEXT[],
    $15::BIGINT[], $16::TEXT[], $17::TIMESTAMPTZ[], $18::TIMESTAMPTZ[]
)
ON CONFLICT (timeline_id, number) DO UPDATE SET
    rank = excluded.rank, started_ns = excluded.started_ns, start_received_at = excluded.start_received_at,
    start_attributes = excluded.start_attributes, ended_ns = excluded.ended_ns,
    end_received_at = excluded.end_received_at, end_attributes = excluded.end_attributes,
    status = excluded.status, phases = excluded.phases, overdue_at = excluded.overdue_at,
    abandoned_at = excluded.abandoned_at
