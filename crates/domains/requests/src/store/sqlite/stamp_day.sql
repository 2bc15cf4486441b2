-- In the transaction that changes the rows of this day.
UPDATE tally_request_calendar SET stamp = randomblob(16) WHERE day = ?1
