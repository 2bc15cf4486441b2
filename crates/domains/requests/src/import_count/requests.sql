-- The latest of a day first: if only some of them are new, they are most likely these.
SELECT request_timestamp::DATE - DATE '1970-01-01', method_id, request_timestamp
FROM count.requests
WHERE isfinite(request_timestamp)
ORDER BY 1, 2, 3 DESC
