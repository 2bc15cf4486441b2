-- Which server does the work that one does for all, until when by the database's clock, and for each
-- domain. The holder is an id that a server draws at its start.
CREATE TABLE IF NOT EXISTS tally_leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder UUID NOT NULL,
    until TIMESTAMPTZ NOT NULL
)
