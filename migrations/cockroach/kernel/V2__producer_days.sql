-- How much of each day was accepted from all producers, and how much they said to have dropped, by the
-- insert worker that stored it, so that workers do not wait for each other. The days of forgotten
-- workers, and those of batches of many days, are added up under the nil UUID.
CREATE TABLE IF NOT EXISTS tally_producer_days (
    worker_id UUID NOT NULL,
    day DATE NOT NULL,
    domain TEXT NOT NULL,
    namespace_id INT8 NOT NULL,
    accepted INT8 NOT NULL,
    dropped INT8 NOT NULL,
    PRIMARY KEY (worker_id, day, domain, namespace_id)
)
