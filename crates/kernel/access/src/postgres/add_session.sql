-- A browser has logged in. It is there already if the answer to a first attempt was lost.
INSERT INTO tally_sessions (digest, key_digest, expires_at)
VALUES ($1::BYTEA, $2::BYTEA, $3::TIMESTAMPTZ)
ON CONFLICT (digest) DO NOTHING
RETURNING digest
