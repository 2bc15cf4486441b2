-- A browser has logged in.
INSERT INTO tally_sessions (digest, key_digest, expires_at)
VALUES ($1::BYTEA, $2::BYTEA, $3::TIMESTAMPTZ)
RETURNING digest
