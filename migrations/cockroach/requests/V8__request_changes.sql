-- Merges and forgets, in their order: who, when, and how many requests of how many series they were about
-- at that time. They say as well what becomes of series that come later: what a series must have (its
-- service, path and customer: NULL if anything will do), and what it gets instead. Of a forget nothing
-- but a keyed hash is stored. Until it is settled, days and months may have totals of series that have
-- moved.
CREATE TABLE IF NOT EXISTS tally_request_changes (
    seq INT8 PRIMARY KEY,
    token INT8 NOT NULL,
    namespace_id INT8 NOT NULL,
    kind TEXT NOT NULL,
    selected TEXT NOT NULL,
    author TEXT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL,
    series INT8 NOT NULL,
    requests INT8 NOT NULL,
    service TEXT,
    path TEXT,
    customer TEXT,
    into_service TEXT,
    into_path TEXT,
    into_customer TEXT,
    hash_key TEXT,
    settled_at TIMESTAMPTZ
)
