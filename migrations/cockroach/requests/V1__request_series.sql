-- What rows refer to: everything that requests are told apart by. Stored once, in the transaction of
-- the first rows that need it. The id is a hash of all the rest, so that it never means anything else.
CREATE TABLE IF NOT EXISTS tally_request_series (
    id INT8 NOT NULL PRIMARY KEY,
    namespace_id INT8 NOT NULL,
    service TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INT8 NOT NULL,
    customer TEXT NOT NULL,
    UNIQUE (namespace_id, service, method, path, status, customer)
)
