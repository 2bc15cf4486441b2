-- The first time counts.
UPDATE tally_keys SET revoked_at = ?2
WHERE digest = ?1 AND revoked_at IS NULL
