-- A bounded step, by ranges of the key. The form of the DELETE is understood by Postgres too.
DELETE FROM tally_request_days
WHERE (day, series_id) IN (
    SELECT day, series_id FROM tally_request_days
    WHERE day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
    ORDER BY day, series_id
    LIMIT $2::INT8
)
