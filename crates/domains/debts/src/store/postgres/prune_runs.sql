-- Deletes runs that ended long ago, as payments.
DELETE FROM tally_debt_runs
WHERE outcome <> 0 AND heard_at <= (
    SELECT max(o.heard_at) FROM (
        SELECT heard_at FROM tally_debt_runs WHERE outcome <> 0 AND heard_at < $1 ORDER BY heard_at LIMIT $2
    ) AS o
)
RETURNING number
