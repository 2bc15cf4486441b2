-- In one statement, which says exactly what it strikes; and in one order, so that two of them do not deadlock.
WITH believed AS (
    SELECT worker_id, day, dropped FROM tally_producer_days
    WHERE dropped > 0 AND domain = $1::TEXT AND namespace_id = $2::INT8
      AND day BETWEEN DATE '1970-01-01' + $3::INT4 AND DATE '1970-01-01' + $4::INT4
    ORDER BY worker_id, day
    FOR UPDATE
), struck AS (
    UPDATE tally_producer_days AS d SET dropped = 0
    FROM believed AS b
    WHERE d.worker_id = b.worker_id AND d.day = b.day
      AND d.domain = $1::TEXT AND d.namespace_id = $2::INT8
    RETURNING b.dropped
)
SELECT least(coalesce(sum(dropped), 0), 9223372036854775807)::INT8 FROM struck
