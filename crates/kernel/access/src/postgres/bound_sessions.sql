-- Only the latest sessions of a key stay.
DELETE FROM tally_sessions
WHERE digest IN (
    SELECT digest FROM tally_sessions WHERE key_digest = $1::BYTEA
    ORDER BY expires_at DESC, digest OFFSET $2::INT8
)
RETURNING digest
