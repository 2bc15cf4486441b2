-- The days of batches that have many, until they are added up under the nil UUID: one row for each
-- batch and namespace, because a row for each of its days would cost more than its requests.
CREATE TABLE IF NOT EXISTS tally_producer_batches (
    worker_id UUID NOT NULL,
    sequence INT8 NOT NULL,
    domain TEXT NOT NULL,
    namespace_id INT8 NOT NULL,
    days INT4[] NOT NULL,
    accepted INT8[] NOT NULL,
    dropped INT8[] NOT NULL,
    PRIMARY KEY (worker_id, sequence, namespace_id)
)
