-- Of debts the open runs, and the last ones of these ids. Each of these is the first one from there on, backwards,
-- in the order of its index: asked for by equality, the planner may read all runs of the debt.
SELECT debt_id, number, run, started_at, heard_at, stages, overdue_at, outcome, ended_at
FROM tally_debt_runs
WHERE debt_id = ANY($1::UUID[]) AND outcome = 0
UNION
SELECT r.debt_id, r.number, r.run, r.started_at, r.heard_at, r.stages, r.overdue_at, r.outcome, r.ended_at
FROM unnest($2::UUID[], $3::TEXT[]) AS w (debt_id, run)
JOIN LATERAL (
    SELECT o.debt_id, o.number, o.run, o.started_at, o.heard_at, o.stages, o.overdue_at, o.outcome, o.ended_at
    FROM tally_debt_runs AS o
    WHERE o.debt_id = w.debt_id AND o.run <= w.run
    ORDER BY o.run DESC, o.number DESC
    LIMIT 1
) AS r ON r.run = w.run
ORDER BY 1, 2
