-- Who numbers these batches, among the producers, and the number of the last one. One row.
CREATE TABLE IF NOT EXISTS tally_outbox_counter (
    id INT8 PRIMARY KEY,
    producer_id UUID NOT NULL,
    sequence INT8 NOT NULL
)
