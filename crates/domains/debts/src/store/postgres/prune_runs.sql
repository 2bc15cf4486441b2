-- Deletes runs that ended long ago.
DELETE FROM tally_debt_runs
WHERE (debt_id, number) IN (
    SELECT debt_id, number FROM tally_debt_runs WHERE outcome <> 0 AND heard_at < $1 LIMIT $2
)
RETURNING number
