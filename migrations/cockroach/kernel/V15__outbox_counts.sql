-- Requests that one domain has another one count, each written by the transaction that decides it. A batch of them is
-- taken, counted under its number, and removed; batch is 0 for those that no batch has yet.
CREATE TABLE IF NOT EXISTS tally_outbox_counts (
    batch INT8 NOT NULL,
    id UUID NOT NULL,
    namespace_id INT8 NOT NULL,
    service TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INT8 NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (batch, id)
)
