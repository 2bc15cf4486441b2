-- Clients are producers too. The epoch is a random number that is drawn when one changes hands, 0
-- for the server's own insert worker; the claim is the number of the process that opened it last.
ALTER TABLE tally_producers ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE tally_producers ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally_producers ADD COLUMN claim INTEGER NOT NULL DEFAULT 0;

-- How many requests of a day were accepted from a producer, and how many it said to have
-- dropped. Those of producers that were forgotten are kept together, under the nil UUID.
CREATE TABLE tally_producer_days (
    producer_id BLOB NOT NULL,
    day INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    PRIMARY KEY (producer_id, day)
) STRICT, WITHOUT ROWID;

-- For what is missing from a range of days: most rows are not in it.
CREATE INDEX tally_producer_days_dropped ON tally_producer_days (day) WHERE dropped > 0;
