-- Rolled-up days, their stamps, and whether their quarters are gone: a range scan of the primary key.
SELECT day, stamp, pruned_at IS NOT NULL FROM tally_request_calendar
WHERE rolled_up_at IS NOT NULL AND day BETWEEN ?1 AND ?2
