-- How many requests of one of its days and methods were taken over from a Go server of count.v1. It
-- is noted in the transaction that takes them, so that none is ever taken twice.
CREATE TABLE tally_count_taken (
    source TEXT NOT NULL,
    day DATE NOT NULL,
    method_id BIGINT NOT NULL,
    taken BIGINT NOT NULL,
    PRIMARY KEY (source, day, method_id)
);
