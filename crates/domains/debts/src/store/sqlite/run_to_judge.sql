-- The last run of this id. By this index: the key would read all runs of the debt.
SELECT debt_id, number, run, started_at, heard_at, stages, overdue_at, outcome, ended_at
FROM tally_debt_runs INDEXED BY tally_debt_runs_run
WHERE debt_id = ?1 AND run = ?2
ORDER BY number DESC
LIMIT 1
