-- Once for each producer, however often its client comes back. Beyond a thousand they are added up
-- in one row, so that no client can fill the table. The answer is whether to log it: nor can one fill
-- the log.
INSERT INTO tally_setbacks AS s (producer_id, name, noticed_at, since, producers, batches)
SELECT iif(n.is_apart, ?1, zeroblob(16)), iif(n.is_apart, ?2, ''), ?3, ?4, 1, ?5
FROM (
    SELECT (SELECT count(*) FROM tally_setbacks) < 1000
        OR EXISTS (SELECT 1 FROM tally_setbacks WHERE producer_id = ?1) AS is_apart
) AS n
WHERE true
ON CONFLICT (producer_id) DO UPDATE SET
    noticed_at = max(s.noticed_at, excluded.noticed_at),
    since = min(s.since, excluded.since),
    producers = iif(s.producer_id = ?1, 1, s.producers + 1),
    batches = iif(
        s.producer_id = ?1,
        excluded.batches,
        s.batches + min(excluded.batches, 9223372036854775807 - s.batches)
    )
WHERE s.producer_id <> ?1 OR s.batches < excluded.batches
RETURNING producer_id = ?1 OR producers = 1
