-- Stores a run that is new or has changed.
INSERT INTO tally_debt_runs (
    debt_id, number, run, started_at, heard_at, stages, overdue_at, outcome, ended_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (debt_id, number) DO UPDATE SET
    started_at = excluded.started_at, heard_at = excluded.heard_at, stages = excluded.stages,
    overdue_at = excluded.overdue_at, outcome = excluded.outcome, ended_at = excluded.ended_at
