-- A key that is being replaced expires, unless it does so earlier.
UPDATE tally_keys SET expires_at = $2::TIMESTAMPTZ
WHERE digest = $1::BYTEA AND (expires_at IS NULL OR expires_at > $2::TIMESTAMPTZ)
RETURNING digest
