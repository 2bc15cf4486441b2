-- What each namespace has on each day, as other programs see it.
SELECT (day - DATE '1970-01-01')::INT8 AS day, namespace,
       least(sum(total), 9223372036854775807)::INT8 AS total
FROM tally_totals_by_day
GROUP BY 1, 2
