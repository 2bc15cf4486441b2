-- Events for other programs, each written by the transaction that decides it. The subject is what it
-- happened to, and its events are numbered; the receiver is the beginning of the URL. An event that has no
-- due_at is done: it is delivered, or it was given up. The answer says what became of the last attempt.
CREATE TABLE IF NOT EXISTS tally_outbox (
    id UUID PRIMARY KEY,
    domain TEXT NOT NULL,
    subject UUID NOT NULL,
    number INT8 NOT NULL,
    receiver TEXT NOT NULL,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    due_at TIMESTAMPTZ,
    attempts INT8 NOT NULL DEFAULT 0,
    done_at TIMESTAMPTZ,
    is_delivered BOOL NOT NULL DEFAULT FALSE,
    answer TEXT NOT NULL DEFAULT '',
    UNIQUE (domain, subject, number)
)
