-- What rows refer to: a method (a number of count.v1.Method) and a path. Stored once, in the
-- transaction of the first rows that need it. The id is a hash of the two, so that it never means
-- anything else.
CREATE TABLE IF NOT EXISTS tally_request_series (
    id INT8 NOT NULL PRIMARY KEY,
    method INT8 NOT NULL,
    path TEXT NOT NULL,
    UNIQUE (method, path)
)
