-- In the transaction that adds them to the series that they have moved to. Lookups by the key.
-- The days get new stamps here, so that no caller forgets it; RETURNING, because CockroachDB wants it of
-- every statement in WITH.
WITH taken AS (
    DELETE FROM tally_request_days
    WHERE day IN (SELECT DATE '1970-01-01' + n FROM generate_series($1::INT4, $2::INT4) AS g (n))
      AND series_id = ANY ($3::INT8[])
    RETURNING day, series_id, quarters
), stamped AS (
    UPDATE tally_request_calendar SET stamp = gen_random_uuid()
    WHERE day IN (SELECT day FROM taken)
    RETURNING day
)
SELECT (day - DATE '1970-01-01')::INT4, series_id, quarters FROM taken
