-- The open runs of a debt. By this index: the key would read all of its runs.
SELECT debt_id, number, run, started_at, heard_at, stages, overdue_at, outcome, ended_at
FROM tally_debt_runs INDEXED BY tally_debt_runs_open
WHERE debt_id = ?1 AND outcome = 0
ORDER BY number
