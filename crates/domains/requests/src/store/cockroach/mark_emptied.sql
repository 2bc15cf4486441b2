-- In the transaction that deletes the last rows of these days.
UPDATE tally_request_calendar SET reached = NULL
WHERE day IN (SELECT DATE '1970-01-01' + w.day FROM unnest($1::INT4[]) AS w (day))
