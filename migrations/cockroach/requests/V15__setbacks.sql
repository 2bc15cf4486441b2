-- Batches that were acknowledged and are not there any more, since the database went back to an
-- earlier state. One row for each producer that noticed; further ones share that of the nil UUID.
CREATE TABLE IF NOT EXISTS tally_setbacks (
    producer_id UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    noticed_at TIMESTAMPTZ NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    producers INT8 NOT NULL,
    batches INT8 NOT NULL
)
