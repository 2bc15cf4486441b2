-- Keys, by the SHA-256 of each. While a key is being replaced, two have its name. One that has a
-- revoked_at, or an expires_at in the past, is refused.
CREATE TABLE tally_keys (
    digest BYTEA PRIMARY KEY,
    name TEXT NOT NULL,
    namespace_id BIGINT NOT NULL,
    scope TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ
);

-- Browsers that are logged in with a key, by the SHA-256 of the token in their cookie.
CREATE TABLE tally_sessions (
    digest BYTEA PRIMARY KEY,
    key_digest BYTEA NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
