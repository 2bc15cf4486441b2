-- The rows of some days, a day at a time and by series: a range scan of the primary key for each. LATERAL
-- keeps the planner from scanning the whole table, and from sorting what it has found of all days.
SELECT p.day, t.series_id, t.quarters
FROM unnest($1::DATE[]) AS p (day)
CROSS JOIN LATERAL (
    SELECT series_id, quarters
    FROM tally_request_days AS d
    WHERE d.day = p.day AND ($2::INT8[] IS NULL OR series_id = ANY ($2::INT8[]))
    ORDER BY series_id
    OFFSET 0
) AS t
