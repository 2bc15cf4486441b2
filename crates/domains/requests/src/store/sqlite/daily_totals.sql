-- A range scan of the primary key.
SELECT day, endpoint_id, total FROM tally_daily_totals WHERE day BETWEEN ?1 AND ?2
