-- Messages that are known if they come again: once is a hash of the idempotency key, or of what the message is
-- about and its sender's time, or a random number; fingerprint is a hash of what was said under a key.
CREATE TABLE IF NOT EXISTS tally_timeline_messages (
    context_id UUID NOT NULL,
    once UUID NOT NULL,
    fingerprint INT8 NOT NULL,
    timeline_id UUID NOT NULL,
    received_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (context_id, once)
)
