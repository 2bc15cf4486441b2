-- Contexts: kinds of processes. timelines is the number of the newest one; retention_days and abandon_after, in
-- seconds, are NULL where the server's settings say it.
CREATE TABLE IF NOT EXISTS tally_timeline_contexts (
    id UUID NOT NULL PRIMARY KEY,
    namespace_id INT8 NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    timelines INT8 NOT NULL,
    retention_days INT8,
    abandon_after INT8,
    UNIQUE (namespace_id, name)
)
