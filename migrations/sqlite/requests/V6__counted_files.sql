-- Files that were counted as a whole, by what tells their content apart. An import asks for it before
-- it counts one again. It is written in the transaction that forgets the import's producer.
-- counted_at counts microseconds since 1970-01-01 UTC.
CREATE TABLE tally_counted_files (
    fingerprint BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    reading BLOB NOT NULL,
    requests INTEGER NOT NULL,
    malformed INTEGER NOT NULL,
    counted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
