-- Stores how long events took.
INSERT INTO tally_timeline_durations (
    context_id, timeline_number, name, host, span, begun_at, took, waited, failed
)
SELECT * FROM unnest(
    $1::UUID[], $2::BIGINT[], $3::TEXT[], $4::TEXT[], $5::TEXT[], $6::TIMESTAMPTZ[], $7::BIGINT[], $8::BIGINT[],
    $9::BIGINT[]
)
ON CONFLICT (context_id, timeline_number, name, host, span) DO UPDATE SET
    took = excluded.took, waited = excluded.waited, failed = excluded.failed
