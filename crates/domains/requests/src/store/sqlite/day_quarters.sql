-- A range scan of the primary key, whose order it keeps.
SELECT series_id, quarters FROM tally_request_days WHERE day = ?1 ORDER BY series_id
