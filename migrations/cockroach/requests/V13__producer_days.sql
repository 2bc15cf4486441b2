-- How many requests of a day were accepted from a producer, and how many it said to have
-- dropped. Those of producers that were forgotten are kept together, under the nil UUID.
CREATE TABLE IF NOT EXISTS tally_producer_days (
    producer_id UUID NOT NULL,
    day DATE NOT NULL,
    accepted INT8 NOT NULL,
    dropped INT8 NOT NULL,
    PRIMARY KEY (producer_id, day)
)
