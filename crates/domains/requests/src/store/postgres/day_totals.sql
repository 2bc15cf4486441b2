-- Range scans of the primary key.
SELECT day, series_id, total FROM tally_request_days
WHERE day = ANY ($1::DATE[]) AND ($2::INT8[] IS NULL OR series_id = ANY ($2::INT8[]))
