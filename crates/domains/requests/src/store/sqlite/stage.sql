-- How far a day has come: a lookup by the key.
SELECT rolled_up_at IS NOT NULL, pruned_at IS NOT NULL FROM tally_request_calendar WHERE day = ?1
