-- How far each day has come, with days as in the journals.
SELECT day, rolled_up_at IS NOT NULL, pruned_at IS NOT NULL FROM tally_request_calendar
