-- From now on the months alone count. The rows of these days are deleted later.
UPDATE tally_request_calendar SET pruned_at = now(), reached = 0
WHERE rolled_up_at IS NOT NULL AND reached IS NULL AND pruned_at IS NULL
  AND day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
