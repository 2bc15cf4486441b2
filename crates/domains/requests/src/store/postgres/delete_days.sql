-- After mark_pruned.sql. A range of the key for each day.
DELETE FROM tally_request_days
WHERE day IN (
    SELECT c.day FROM tally_request_calendar AS c
    WHERE c.pruned_at IS NOT NULL
      AND c.day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
)
