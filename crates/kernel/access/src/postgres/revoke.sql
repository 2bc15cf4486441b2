-- The first time counts.
UPDATE tally_keys SET revoked_at = $2::TIMESTAMPTZ
WHERE digest = $1::BYTEA AND revoked_at IS NULL
RETURNING digest
