-- The caller has read what was there, and the books are locked, so nothing else changes days meanwhile.
-- The days get new stamps here, so that no caller forgets it; RETURNING, because CockroachDB wants it of
-- every statement in WITH.
WITH stamped AS (
    UPDATE tally_request_calendar SET stamp = gen_random_uuid()
    WHERE day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
    RETURNING day
)
INSERT INTO tally_request_days (day, series_id, total, quarters)
SELECT DATE '1970-01-01' + w.day, w.series_id, w.total, w.quarters
FROM unnest($1::INT4[], $2::INT8[], $3::INT8[], $4::TEXT[]) AS w (day, series_id, total, quarters)
ON CONFLICT (day, series_id) DO UPDATE SET total = excluded.total, quarters = excluded.quarters
