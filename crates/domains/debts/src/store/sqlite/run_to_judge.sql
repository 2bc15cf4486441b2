-- The last run of this id.
SELECT debt_id, number, run, started_at, heard_at, stages, overdue_at, outcome, ended_at
FROM tally_debt_runs
WHERE debt_id = ?1 AND run = ?2
ORDER BY number DESC
LIMIT 1
