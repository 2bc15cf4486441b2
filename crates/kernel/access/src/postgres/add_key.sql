-- Unless a valid key has this name already; a key that replaces it may. The key itself may be there, if
-- the answer to a first attempt was lost.
INSERT INTO tally_keys (digest, name, namespace_id, scope, created_at, expires_at)
SELECT $1::BYTEA, $2::TEXT, $3::INT8, $4::TEXT, $5::TIMESTAMPTZ, $6::TIMESTAMPTZ
WHERE $7::BOOL OR NOT EXISTS (
    SELECT 1 FROM tally_keys
    WHERE name = $2::TEXT AND revoked_at IS NULL AND digest <> $1::BYTEA
      AND (expires_at IS NULL OR expires_at > $5::TIMESTAMPTZ)
)
ON CONFLICT (digest) DO UPDATE SET name = excluded.name
