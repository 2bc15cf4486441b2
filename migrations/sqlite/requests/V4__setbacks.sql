-- Batches that were acknowledged and are not there any more, since the database went back to an
-- earlier state. One row for each producer that noticed; further ones share that of the nil UUID.
-- Times are microseconds since 1970-01-01 UTC.
CREATE TABLE tally_setbacks (
    producer_id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    noticed_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    producers INTEGER NOT NULL,
    batches INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
