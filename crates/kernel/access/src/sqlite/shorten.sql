-- A key that is being replaced expires, unless it does so earlier.
UPDATE tally_keys SET expires_at = ?2
WHERE digest = ?1 AND (expires_at IS NULL OR expires_at > ?2)
