-- Files that were counted as a whole, by what tells their content apart. An import asks for it before
-- it counts one again. It is written in the transaction that forgets the import's producer.
CREATE TABLE IF NOT EXISTS tally_counted_files (
    fingerprint BYTEA NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    reading BYTEA NOT NULL,
    requests INT8 NOT NULL,
    malformed INT8 NOT NULL,
    counted_at TIMESTAMPTZ NOT NULL
)
