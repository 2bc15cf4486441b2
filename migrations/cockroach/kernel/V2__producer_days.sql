-- How much of a day was accepted from a producer, and how much it said to have dropped. The domain is
-- the producer's. The days of a domain's forgotten producers are added up under the nil UUID.
CREATE TABLE IF NOT EXISTS tally_producer_days (
    producer_id UUID NOT NULL,
    day DATE NOT NULL,
    domain TEXT NOT NULL,
    namespace_id INT8 NOT NULL,
    accepted INT8 NOT NULL,
    dropped INT8 NOT NULL,
    PRIMARY KEY (producer_id, day, domain, namespace_id)
)
