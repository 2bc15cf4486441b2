-- A range scan of the primary key.
SELECT day, series_id, total FROM tally_request_days WHERE day BETWEEN ?1 AND ?2
