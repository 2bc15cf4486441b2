-- The latest alarms and recoveries of a debt before a number, the last first.
SELECT number, at, noticed_at, cause
FROM tally_debt_flips
WHERE debt_id = ?1 AND number < ?2
ORDER BY number DESC
LIMIT ?3
