-- Days are cut in the session's time zone, as the Go server itself cuts them: so a request is of the
-- same day before and after it is rolled up. What is at an infinite time is of no day.
SELECT CASE WHEN isfinite(day) THEN day - DATE '1970-01-01' END, method_id, sum(requests)::INT8, sum(total)::INT8
FROM (
    SELECT request_timestamp::DATE AS day, method_id, count(*) AS requests, 0 AS total
    FROM count.requests GROUP BY 1, 2
    UNION ALL
    SELECT day, method_id, 0, coalesce(total, 0) FROM count.daily_method_totals
) AS counts
GROUP BY day, method_id
ORDER BY day, method_id
