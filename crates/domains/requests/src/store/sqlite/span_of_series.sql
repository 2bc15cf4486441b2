-- The days within which each series has something: scans, which only a range needs that is too long otherwise. A
-- month counts as 31 days.
SELECT series_id, min(first_day), max(last_day)
FROM (
    SELECT series_id, min(month) AS first_day, max(month) + 30 AS last_day
    FROM tally_request_months GROUP BY series_id
    UNION ALL
    SELECT series_id, min(day), max(day) FROM tally_request_days GROUP BY series_id
    UNION ALL
    SELECT series_id, min(day), max(day) FROM tally_request_corrections GROUP BY series_id
    UNION ALL
    SELECT series_id, min(requested_at) / 86400000000 - (min(requested_at) < 0), max(requested_at) / 86400000000
    FROM tally_requests WHERE ?1 GROUP BY series_id
)
GROUP BY series_id
