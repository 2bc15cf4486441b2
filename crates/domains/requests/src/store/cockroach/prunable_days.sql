-- As in Postgres, without days whose roll-up is under way.
SELECT (c.day - DATE '1970-01-01')::INT4,
       (SELECT count(*) FROM tally_request_days AS d WHERE d.day = c.day)
FROM tally_request_calendar AS c
WHERE c.rolled_up_at <= now() - $2::FLOAT8 * INTERVAL '1 second'
  AND c.reached IS NULL AND c.pruned_at IS NULL AND c.day < DATE '1970-01-01' + $1::INT4
ORDER BY c.day
LIMIT $3::INT8
