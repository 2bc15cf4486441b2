-- What was stored once for an idempotency key: a fingerprint of what its caller meant, in the transaction
-- that stored it.
CREATE TABLE IF NOT EXISTS tally_idempotency_keys (
    domain TEXT NOT NULL,
    namespace_id INT8 NOT NULL,
    key TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    stored_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, namespace_id, key)
)
