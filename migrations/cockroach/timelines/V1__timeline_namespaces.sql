-- How many contexts each namespace has.
CREATE TABLE IF NOT EXISTS tally_timeline_namespaces (
    namespace_id INT8 NOT NULL PRIMARY KEY,
    contexts INT8 NOT NULL
)
