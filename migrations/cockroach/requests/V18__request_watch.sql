-- One row: since when rules are judged without a gap, and when they were last. Before that, clients may
-- have had no server to send to.
CREATE TABLE IF NOT EXISTS tally_request_watch (
    id INT8 PRIMARY KEY,
    since TIMESTAMPTZ NOT NULL,
    until TIMESTAMPTZ NOT NULL
)
