-- An index on the series.
UPDATE tally_request_corrections SET series_id = ?2 WHERE series_id = ?1
