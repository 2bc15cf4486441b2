-- Browsers that are logged in with a key, by the SHA-256 of the token in their cookie.
CREATE TABLE IF NOT EXISTS tally_sessions (
    digest BYTEA PRIMARY KEY,
    key_digest BYTEA NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
