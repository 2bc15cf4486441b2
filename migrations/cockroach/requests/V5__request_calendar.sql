-- The days that have totals. A rolled-up day is in its month as well; a pruned one is only there.
CREATE TABLE IF NOT EXISTS tally_request_calendar (
    day DATE NOT NULL PRIMARY KEY,
    rolled_up_at TIMESTAMPTZ,
    pruned_at TIMESTAMPTZ
)
