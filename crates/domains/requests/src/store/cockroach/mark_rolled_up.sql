-- In the transaction that adds these days to their months, up to this series; NULL: all of them.
UPDATE tally_request_calendar SET rolled_up_at = coalesce(rolled_up_at, now()), reached = $2::INT8
WHERE day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
