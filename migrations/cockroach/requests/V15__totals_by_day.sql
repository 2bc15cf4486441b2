-- The live totals of all days, for people and other programs; one statement is one snapshot of them.
CREATE OR REPLACE VIEW tally_totals_by_day AS
SELECT t.day,
       coalesce(n.name, '_unknown') AS namespace,
       coalesce(s.service, '') AS service,
       coalesce(s.method, '') AS method,
       coalesce(s.path, '_unknown') AS path,
       coalesce(s.status, 0) AS status,
       coalesce(s.customer, '') AS customer,
       sum(t.total)::INT8 AS total
FROM (
    SELECT d.day, d.series_id, d.total
    FROM tally_request_calendar AS c
    JOIN tally_request_days AS d ON d.day = c.day
    WHERE c.pruned_at IS NULL
    UNION ALL
    -- Of a pruned day only its month knows: the number behind the first slot's.
    SELECT p.day, p.series_id, (p.days ->> (p.slot - p.first_slot + 1)::INT4)::INT8
    FROM (
        SELECT c.day, m.series_id, m.days::JSONB AS days,
               extract(DAY FROM c.day)::INT8 - 1 AS slot,
               (m.days::JSONB ->> 0)::INT8 AS first_slot
        FROM tally_request_calendar AS c
        JOIN tally_request_months AS m ON m.month = date_trunc('month', c.day::TIMESTAMP)::DATE
        WHERE c.pruned_at IS NOT NULL
    ) AS p
    WHERE p.slot >= p.first_slot AND (p.days ->> (p.slot - p.first_slot + 1)::INT4)::INT8 > 0
    UNION ALL
    SELECT (requested_at AT TIME ZONE 'UTC')::DATE, series_id, coalesce(requests, 1)
    FROM tally_requests
) AS t
LEFT JOIN tally_request_moves AS m ON m.from_id = t.series_id
LEFT JOIN tally_request_series AS s ON s.id = coalesce(m.to_id, t.series_id)
LEFT JOIN tally_namespaces AS n ON n.id = coalesce(s.namespace_id, 0)
GROUP BY t.day, n.name, s.service, s.method, s.path, s.status, s.customer
