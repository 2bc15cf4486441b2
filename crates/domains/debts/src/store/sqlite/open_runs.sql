-- The open runs of a debt.
SELECT debt_id, number, run, started_at, heard_at, stages, overdue_at, outcome, ended_at
FROM tally_debt_runs
WHERE debt_id = ?1 AND outcome = 0
ORDER BY number
