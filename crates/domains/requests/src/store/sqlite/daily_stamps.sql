-- A range scan of the primary key.
SELECT day, stamp FROM tally_request_day_stamps WHERE day BETWEEN ?1 AND ?2
