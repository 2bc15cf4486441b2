-- What was stored under a key.
SELECT fingerprint FROM tally_idempotency_keys WHERE domain = ?1 AND namespace_id = ?2 AND key = ?3
