-- Books kept apart in one database.
CREATE TABLE IF NOT EXISTS tally_namespaces (
    id INT8 NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
)
