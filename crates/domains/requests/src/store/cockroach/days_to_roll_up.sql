-- Which of these days are not in their months, or not all of them. Locked, so that another server's
-- step waits here, and not in vain at its end.
SELECT (day - DATE '1970-01-01')::INT4, reached FROM tally_request_calendar
WHERE pruned_at IS NULL AND (rolled_up_at IS NULL OR reached IS NOT NULL)
  AND day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
ORDER BY day
FOR UPDATE
