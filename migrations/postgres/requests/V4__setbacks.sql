-- Batches that were acknowledged and are not there any more, since the database went back to an
-- earlier state. One row for each producer that noticed; further ones share that of the nil UUID.
CREATE TABLE tally_setbacks (
    producer_id UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    noticed_at TIMESTAMPTZ NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    producers BIGINT NOT NULL,
    batches BIGINT NOT NULL
);
