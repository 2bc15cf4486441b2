-- An index on the series.
UPDATE tally_request_corrections SET series_id = w.to_id
FROM unnest($1::INT8[], $2::INT8[]) AS w (from_id, to_id)
WHERE tally_request_corrections.series_id = w.from_id
