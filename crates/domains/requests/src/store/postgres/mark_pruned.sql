-- In the transaction that deletes the rows of these days. A day that is not rolled up keeps them.
UPDATE tally_request_calendar SET pruned_at = coalesce(pruned_at, now())
WHERE rolled_up_at IS NOT NULL
  AND day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
