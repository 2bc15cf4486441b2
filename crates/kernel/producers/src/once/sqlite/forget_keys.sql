-- A bounded step, by the index on the time, which is the machine's.
DELETE FROM tally_idempotency_keys
WHERE (domain, namespace_id, key) IN (
    SELECT domain, namespace_id, key FROM tally_idempotency_keys
    WHERE domain = ?1 AND stored_at < CAST((unixepoch('subsec') - ?2) * 1000000 AS INTEGER)
    ORDER BY stored_at LIMIT ?3
)
