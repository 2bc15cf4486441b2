-- Which of these days are not rolled up, now that the books are locked.
SELECT (day - DATE '1970-01-01')::INT4 FROM tally_request_calendar
WHERE rolled_up_at IS NULL
  AND day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
