-- The latest runs of a debt before a number, the last first.
SELECT debt_id, number, run, started_at, heard_at, stages, overdue_at, outcome, ended_at
FROM tally_debt_runs
WHERE debt_id = $1 AND number < $2 AND (outcome = 0 OR NOT $3::BOOLEAN)
ORDER BY number DESC
LIMIT $4
