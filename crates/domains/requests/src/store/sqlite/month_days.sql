-- A range scan of the primary key.
SELECT month, series_id, days FROM tally_request_months WHERE month BETWEEN ?1 AND ?2
