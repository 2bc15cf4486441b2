-- The rows that are not folded, by quarter.
SELECT iif(requested_at >= 0, requested_at, requested_at - 899999999) / 900000000,
       series_id,
       sum(coalesce(requests, 1))
FROM tally_requests
GROUP BY 1, 2
