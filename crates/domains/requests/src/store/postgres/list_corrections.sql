-- An index on the day.
SELECT c.id, (c.day - DATE '1970-01-01')::INT4, c.requests, c.reason, c.author, c.corrected_at,
       c.namespace_id, coalesce(s.service, ''), coalesce(s.method, ''),
       coalesce(s.path, '_unknown'), coalesce(s.status, 0), coalesce(s.customer, '')
FROM tally_request_corrections AS c
LEFT JOIN tally_request_series AS s ON s.id = c.series_id
WHERE c.day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4
  AND c.namespace_id = $4::INT8
ORDER BY c.day, c.corrected_at, c.id LIMIT $3::INT8
