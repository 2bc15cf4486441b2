-- In the transaction that adds it to the series that it has moved to.
DELETE FROM tally_request_months WHERE month = ?1 AND series_id = ?2
