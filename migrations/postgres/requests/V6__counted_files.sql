-- Files that were counted as a whole, by what tells their content apart. An import asks for it before
-- it counts one again. It is written in the transaction that forgets the import's producer.
CREATE TABLE tally_counted_files (
    fingerprint BYTEA PRIMARY KEY,
    name TEXT NOT NULL,
    reading BYTEA NOT NULL,
    requests BIGINT NOT NULL,
    malformed BIGINT NOT NULL,
    counted_at TIMESTAMPTZ NOT NULL
);
