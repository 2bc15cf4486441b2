-- How many requests of one of its days and methods were imported from a Go server of count.v1. It
-- is noted in the transaction that imports them, so that none is ever imported twice.
CREATE TABLE tally_imported_counts (
    source TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    day DATE NOT NULL,
    method_id BIGINT NOT NULL,
    imported BIGINT NOT NULL,
    PRIMARY KEY (source, day, method_id)
);
