-- In the transaction that adds these days to their months.
UPDATE tally_request_calendar SET rolled_up_at = now()
WHERE day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
