-- How many requests of one of its days and methods were imported from a Go server of count.v1. It
-- is noted in the transaction that imports them, so that none is ever imported twice. day counts
-- days since 1970-01-01.
CREATE TABLE tally_imported_counts (
    source TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    day INTEGER NOT NULL,
    method_id INTEGER NOT NULL,
    imported INTEGER NOT NULL,
    PRIMARY KEY (source, day, method_id)
) STRICT, WITHOUT ROWID;
