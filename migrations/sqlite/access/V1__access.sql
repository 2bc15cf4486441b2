-- Keys, by the SHA-256 of each. While a key is being replaced, two have its name. One that has a
-- revoked_at, or an expires_at in the past, is refused. Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tally_keys (
    digest BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    namespace_id INTEGER NOT NULL,
    scope TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;

-- Browsers that are logged in with a key, by the SHA-256 of the token in their cookie.
CREATE TABLE tally_sessions (
    digest BLOB NOT NULL PRIMARY KEY,
    key_digest BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
