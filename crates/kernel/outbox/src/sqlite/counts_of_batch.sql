-- Always the same ones, until all of them are removed.
SELECT namespace_id, service, method, path, status, requested_at FROM tally_outbox_counts
WHERE batch = ?1 ORDER BY id
