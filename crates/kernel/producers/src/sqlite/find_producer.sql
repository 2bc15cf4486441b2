-- Where a producer stands.
SELECT
    epoch, claim, sequence, is_shared, checkpoint, last_seen, domain = ?2, namespace_id = ?3
FROM tally_producers WHERE id = ?1
