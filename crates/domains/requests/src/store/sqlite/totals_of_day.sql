-- A range of the key.
SELECT series_id, total FROM tally_request_days WHERE day = ?1
