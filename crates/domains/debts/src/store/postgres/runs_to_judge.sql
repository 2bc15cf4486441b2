-- Of debts the open runs, and the last ones of these ids.
SELECT debt_id, number, run, started_at, heard_at, stages, overdue_at, outcome, ended_at
FROM tally_debt_runs
WHERE debt_id = ANY($1::UUID[]) AND outcome = 0
UNION
SELECT r.debt_id, r.number, r.run, r.started_at, r.heard_at, r.stages, r.overdue_at, r.outcome, r.ended_at
FROM unnest($2::UUID[], $3::TEXT[]) AS w (debt_id, run)
JOIN tally_debt_runs AS r ON r.debt_id = w.debt_id AND r.run = w.run
WHERE r.number = (
    SELECT max(o.number) FROM tally_debt_runs AS o WHERE o.debt_id = w.debt_id AND o.run = w.run
)
ORDER BY 1, 2
