-- The rows that are not folded, by quarter.
SELECT floor(extract(epoch FROM requested_at) / 900)::bigint,
       series_id,
       sum(coalesce(requests, 1))::bigint
FROM tally_requests
GROUP BY 1, 2
