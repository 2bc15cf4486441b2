-- A lookup by the key.
SELECT total, days FROM tally_request_months WHERE month = ?1 AND series_id = ?2
