-- A browser has logged out, and others' time is over.
DELETE FROM tally_sessions WHERE digest = $1::BYTEA OR expires_at <= $2::TIMESTAMPTZ
RETURNING digest
