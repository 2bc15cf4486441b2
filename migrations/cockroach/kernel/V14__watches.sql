-- Since when something is looked at without a gap, by whichever server, and when it was last. Before that,
-- clients may have had no server to send to.
CREATE TABLE IF NOT EXISTS tally_watches (
    name TEXT NOT NULL PRIMARY KEY,
    since TIMESTAMPTZ NOT NULL,
    until TIMESTAMPTZ NOT NULL
)
