-- A lookup by the key.
SELECT total, quarters FROM tally_request_days WHERE day = ?1 AND series_id = ?2
