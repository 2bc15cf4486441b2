-- Once for each producer, even if its client comes back many times. Beyond a thousand of a namespace
-- they are added up in one row, so that no client can fill the table. The answer is whether to log
-- it, so that no client can fill the log either.
INSERT INTO tally_producer_setbacks AS s
    (domain, namespace_id, producer_id, name, noticed_at, since, producers, batches)
SELECT
    $1::TEXT, $2::INT8,
    CASE WHEN n.is_apart THEN $3::UUID ELSE '00000000-0000-0000-0000-000000000000'::UUID END,
    CASE WHEN n.is_apart THEN $4::TEXT ELSE '' END,
    $5::TIMESTAMPTZ, $6::TIMESTAMPTZ, 1, $7::INT8
FROM (
    SELECT (
        SELECT count(*) FROM tally_producer_setbacks
        WHERE domain = $1::TEXT AND namespace_id = $2::INT8
    ) < 1000 OR EXISTS (
        SELECT 1 FROM tally_producer_setbacks
        WHERE domain = $1::TEXT AND namespace_id = $2::INT8 AND producer_id = $3::UUID
    ) AS is_apart
) AS n
ON CONFLICT (domain, namespace_id, producer_id) DO UPDATE SET
    noticed_at = greatest(s.noticed_at, excluded.noticed_at),
    since = least(s.since, excluded.since),
    producers = CASE WHEN s.producer_id = $3::UUID THEN 1 ELSE s.producers + 1 END,
    batches = CASE
        WHEN s.producer_id = $3::UUID THEN excluded.batches
        ELSE s.batches + least(excluded.batches, 9223372036854775807 - s.batches)
    END
WHERE s.producer_id <> $3::UUID OR s.batches < excluded.batches
RETURNING producer_id = $3::UUID OR producers = 1
