-- Nothing changes if the key is there.
INSERT INTO tally_idempotency_keys (domain, namespace_id, key, fingerprint, stored_at)
VALUES (?1, ?2, ?3, ?4, CAST(unixepoch('subsec') * 1000000 AS INTEGER))
ON CONFLICT (domain, namespace_id, key) DO NOTHING
