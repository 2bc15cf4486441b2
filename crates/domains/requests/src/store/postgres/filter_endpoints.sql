-- Compared byte by byte, without the meaning that LIKE gives to % and _.
SELECT id FROM tally_request_series
WHERE ($1::TEXT IS NULL OR method = $1::TEXT)
  AND substr(path, 1, length($2::TEXT)) = $2::TEXT
  AND (cardinality($3::TEXT[]) = 0 OR path = ANY ($3::TEXT[]))
