-- The latest times during which nobody looked.
SELECT from_at, until_at FROM tally_debt_gaps ORDER BY from_at DESC LIMIT $1
