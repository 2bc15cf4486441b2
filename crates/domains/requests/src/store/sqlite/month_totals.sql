-- A range scan of the primary key.
SELECT series_id, total FROM tally_request_months WHERE month BETWEEN ?1 AND ?2
