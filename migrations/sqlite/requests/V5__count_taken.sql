-- How many requests of one of its days and methods were taken over from a Go server of count.v1. It
-- is noted in the transaction that takes them, so that none is ever taken twice. day counts days
-- since 1970-01-01.
CREATE TABLE tally_count_taken (
    source TEXT NOT NULL,
    day INTEGER NOT NULL,
    method_id INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    PRIMARY KEY (source, day, method_id)
) STRICT, WITHOUT ROWID;
