-- A range scan of the primary key.
SELECT series_id, quarters FROM tally_request_days WHERE day = ?1
