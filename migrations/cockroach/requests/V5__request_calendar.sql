-- The days that have totals. A rolled-up day is in its month as well; a pruned one is only there. What is
-- done in steps and not done yet has a number in reached: the last series of a rolled-up day that is in
-- its month, where the others follow; of a pruned day any, while it is emptied. The stamp is a random
-- number, drawn anew by each transaction that changes rows of tally_request_days: with the same one, a day
-- that is not pruned has the same rows.
CREATE TABLE IF NOT EXISTS tally_request_calendar (
    day DATE NOT NULL PRIMARY KEY,
    rolled_up_at TIMESTAMPTZ,
    pruned_at TIMESTAMPTZ,
    reached INT8,
    stamp UUID NOT NULL DEFAULT gen_random_uuid()
)
