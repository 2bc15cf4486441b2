-- A range scan of the primary key; a period is named by its first day.
SELECT (CASE $4::TEXT
            WHEN 'month' THEN date_trunc('month', day::TIMESTAMP)::DATE
            WHEN 'year' THEN date_trunc('year', day::TIMESTAMP)::DATE
            ELSE DATE '1970-01-01'
        END - DATE '1970-01-01')::INT4,
       endpoint_id,
       sum(total)::INT8
FROM tally_daily_totals
WHERE day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4
  AND ($3::INT8[] IS NULL OR endpoint_id = ANY ($3::INT8[]))
GROUP BY 1, 2
