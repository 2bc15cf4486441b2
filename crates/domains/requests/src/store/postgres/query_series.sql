-- The series that a filter lets through, but for their statuses; without texts to compare, all of
-- all namespaces. Texts are compared byte by byte, without the meaning that LIKE gives to % and _.
SELECT id, namespace_id, service, method, path, status, customer
FROM tally_request_series
WHERE ($1::INT8 IS NULL OR namespace_id = $1::INT8)
  AND substr(path, 1, length($2::TEXT)) = $2::TEXT
  AND (cardinality($3::TEXT[]) = 0 OR path = ANY ($3::TEXT[]))
  AND (cardinality($4::TEXT[]) = 0 OR service = ANY ($4::TEXT[]))
  AND (cardinality($5::TEXT[]) = 0 OR method = ANY ($5::TEXT[]))
  AND (cardinality($6::TEXT[]) = 0 OR customer = ANY ($6::TEXT[]))
