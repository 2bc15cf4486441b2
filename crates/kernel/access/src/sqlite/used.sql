-- Several servers tell it, in any order.
UPDATE tally_keys SET last_used_at = ?2
WHERE digest = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)
