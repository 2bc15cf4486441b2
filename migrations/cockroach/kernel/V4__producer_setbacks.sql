-- Batches that were acknowledged and are missing, because the database went back to an earlier state.
-- One row for each producer that noticed; a domain's further ones share the row of the nil UUID.
CREATE TABLE IF NOT EXISTS tally_producer_setbacks (
    domain TEXT NOT NULL,
    namespace_id INT8 NOT NULL,
    producer_id UUID NOT NULL,
    name TEXT NOT NULL,
    noticed_at TIMESTAMPTZ NOT NULL,
    since TIMESTAMPTZ NOT NULL,
    producers INT8 NOT NULL,
    batches INT8 NOT NULL,
    PRIMARY KEY (domain, namespace_id, producer_id)
)
