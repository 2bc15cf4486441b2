-- Once for each producer, even if its client comes back many times. Beyond a thousand of a namespace
-- they are added up in one row, so that no client can fill the table. The answer is whether to log
-- it, so that no client can fill the log either.
INSERT INTO tally_producer_setbacks AS s
    (domain, namespace_id, producer_id, name, noticed_at, since, producers, batches)
SELECT ?1, ?2, iif(n.is_apart, ?3, zeroblob(16)), iif(n.is_apart, ?4, ''), ?5, ?6, 1, ?7
FROM (
    SELECT (
        SELECT count(*) FROM tally_producer_setbacks WHERE domain = ?1 AND namespace_id = ?2
    ) < 1000 OR EXISTS (
        SELECT 1 FROM tally_producer_setbacks
        WHERE domain = ?1 AND namespace_id = ?2 AND producer_id = ?3
    ) AS is_apart
) AS n
WHERE true
ON CONFLICT (domain, namespace_id, producer_id) DO UPDATE SET
    noticed_at = max(s.noticed_at, excluded.noticed_at),
    since = min(s.since, excluded.since),
    producers = iif(s.producer_id = ?3, 1, s.producers + 1),
    batches = iif(
        s.producer_id = ?3,
        excluded.batches,
        s.batches + min(excluded.batches, 9223372036854775807 - s.batches)
    )
WHERE s.producer_id <> ?3 OR s.batches < excluded.batches
RETURNING producer_id = ?3 OR producers = 1
