-- Who stores batches for a domain, and the number of the last batch that each has stored. A batch
-- moves its producer's number in its own transaction, so that it is never stored twice. The epoch is
-- a random number, drawn when a client's producer changes hands, and 0 for an insert worker of a
-- server; the claim is the number of the process that opened it last. A shared producer is taken over
-- by all who know its id. The checkpoint says how far its client has come in what it reads, by a rule
-- of the client's; it moves with the number. The same id is another producer in another namespace, so that
-- nobody learns which ids others have.
CREATE TABLE IF NOT EXISTS tally_producers (
    id UUID NOT NULL,
    domain TEXT NOT NULL,
    namespace_id INT8 NOT NULL DEFAULT 0,
    name TEXT NOT NULL DEFAULT '',
    epoch INT8 NOT NULL DEFAULT 0,
    claim INT8 NOT NULL DEFAULT 0,
    sequence INT8 NOT NULL,
    accepted INT8 NOT NULL DEFAULT 0,
    dropped INT8 NOT NULL DEFAULT 0,
    last_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
    is_shared BOOL NOT NULL DEFAULT FALSE,
    checkpoint BYTEA,
    checkpoint_at TIMESTAMPTZ,
    PRIMARY KEY (id, namespace_id)
)
