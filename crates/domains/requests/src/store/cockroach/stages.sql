-- As in Postgres, with how far a roll-up in steps has come.
WITH added AS (
    INSERT INTO tally_request_calendar (day)
    SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day)
    ON CONFLICT (day) DO NOTHING
    RETURNING day
)
SELECT (c.day - DATE '1970-01-01')::INT4, c.rolled_up_at IS NOT NULL, c.pruned_at IS NOT NULL, c.reached
FROM tally_request_calendar AS c
WHERE c.day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
