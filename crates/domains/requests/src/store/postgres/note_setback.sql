-- Once for each producer, however often its client comes back. Beyond a thousand they are added up
-- in one row, so that no client can fill the table. The answer is whether to log it: nor can one fill
-- the log.
INSERT INTO tally_setbacks AS s (producer_id, name, noticed_at, since, producers, batches)
SELECT
    CASE WHEN n.is_apart THEN $1::UUID ELSE '00000000-0000-0000-0000-000000000000'::UUID END,
    CASE WHEN n.is_apart THEN $2::TEXT ELSE '' END,
    $3::TIMESTAMPTZ, $4::TIMESTAMPTZ, 1, $5::INT8
FROM (
    SELECT (SELECT count(*) FROM tally_setbacks) < 1000
        OR EXISTS (SELECT 1 FROM tally_setbacks WHERE producer_id = $1::UUID) AS is_apart
) AS n
ON CONFLICT (producer_id) DO UPDATE SET
    noticed_at = greatest(s.noticed_at, excluded.noticed_at),
    since = least(s.since, excluded.since),
    producers = CASE WHEN s.producer_id = $1::UUID THEN 1 ELSE s.producers + 1 END,
    batches = CASE
        WHEN s.producer_id = $1::UUID THEN excluded.batches
        ELSE s.batches + least(excluded.batches, 9223372036854775807 - s.batches)
    END
WHERE s.producer_id <> $1::UUID OR s.batches < excluded.batches
RETURNING producer_id = $1::UUID OR producers = 1
