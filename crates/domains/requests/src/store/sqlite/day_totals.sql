-- A range scan of the primary key.
SELECT series_id, total FROM tally_request_days WHERE day = ?1
