-- Who stores batches, and the number of the last batch that each has stored. A batch moves
-- its producer's number in its own transaction, so that it is never stored twice.
CREATE TABLE IF NOT EXISTS tally_producers (
    id UUID NOT NULL PRIMARY KEY,
    sequence INT8 NOT NULL,
    last_seen TIMESTAMPTZ NOT NULL DEFAULT now()
)
