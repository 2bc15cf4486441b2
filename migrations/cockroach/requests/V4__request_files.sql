-- Files that were counted as a whole, by fingerprints of their content. An import asks for a file
-- before it counts it again. The transaction that forgets the import's producer writes this.
CREATE TABLE IF NOT EXISTS tally_request_files (
    namespace_id INT8 NOT NULL,
    fingerprint BYTEA NOT NULL,
    name TEXT NOT NULL,
    reading BYTEA NOT NULL,
    requests INT8 NOT NULL,
    malformed INT8 NOT NULL,
    counted_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (namespace_id, fingerprint)
)
