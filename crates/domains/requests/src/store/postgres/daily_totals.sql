-- A range scan of the primary key; the answer is put in order by the caller.
SELECT (d.day - DATE '1970-01-01')::INT4, d.series_id, d.total
FROM tally_request_days AS d JOIN tally_request_calendar AS c ON c.day = d.day
WHERE d.day BETWEEN DATE '1970-01-01' + $1::INT4 AND DATE '1970-01-01' + $2::INT4
  AND ($3::INT8[] IS NULL OR d.series_id = ANY ($3::INT8[]))
  AND (c.rolled_up_at IS NOT NULL OR $4::BOOL)
