-- A range scan of the index of those days that lack something, and the batches of many days that are
-- not added up yet, which are few. The coalesce is inside, because least leaves NULL out: without any
-- row its answer would be the other number.
SELECT least(coalesce(sum(dropped), 0), 9223372036854775807)::INT8
FROM (
    SELECT dropped FROM tally_producer_days
    WHERE dropped > 0
      AND domain = $1::TEXT AND namespace_id = $2::INT8
      AND day BETWEEN DATE '1970-01-01' + $3::INT4 AND DATE '1970-01-01' + $4::INT4
    UNION ALL
    SELECT n.dropped
    FROM tally_producer_batches AS b, unnest(b.days, b.dropped) AS n (day, dropped)
    WHERE b.domain = $1::TEXT AND b.namespace_id = $2::INT8
      AND n.day BETWEEN $3::INT4 AND $4::INT4
) AS d
