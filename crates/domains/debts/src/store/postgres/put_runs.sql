-- Stores runs that are new or have changed.
INSERT INTO tally_debt_runs (
    debt_id, number, run, started_at, heard_at, stages, overdue_at, outcome, ended_at
)
SELECT * FROM unnest(
    $1::UUID[], $2::BIGINT[], $3::TEXT[], $4::TIMESTAMPTZ[], $5::TIMESTAMPTZ[], $6::TEXT[], $7::TIMESTAMPTZ[],
    $8::BIGINT[], $9::TIMESTAMPTZ[]
)
ON CONFLICT (debt_id, number) DO UPDATE SET
    started_at = excluded.started_at, heard_at = excluded.heard_at, stages = excluded.stages,
    overdue_at = excluded.overdue_at, outcome = excluded.outcome, ended_at = excluded.ended_at
