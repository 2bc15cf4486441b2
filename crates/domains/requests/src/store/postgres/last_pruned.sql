-- One end of an index that has only pruned days.
SELECT max(day) FROM tally_request_calendar WHERE pruned_at IS NOT NULL
