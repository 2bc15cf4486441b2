-- Notes a time during which nobody looked. A server that was killed before it had swept notes it again, longer.
INSERT INTO tally_debt_gaps (from_at, until_at) VALUES ($1, $2)
ON CONFLICT (from_at) DO UPDATE SET until_at = greatest(tally_debt_gaps.until_at, excluded.until_at)
