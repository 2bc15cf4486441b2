-- What is counted: a method (a number of count.v1.Method) and a path. Stored once.
CREATE TABLE IF NOT EXISTS tally_endpoints (
    id INT8 NOT NULL DEFAULT unique_rowid() PRIMARY KEY,
    method INT8 NOT NULL,
    path TEXT NOT NULL,
    UNIQUE (method, path)
)
