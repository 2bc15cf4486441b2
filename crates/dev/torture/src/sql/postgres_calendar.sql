-- How far each day has come, with days as in the journals.
SELECT (day - DATE '1970-01-01')::bigint,
       (rolled_up_at IS NOT NULL)::int::bigint,
       (pruned_at IS NOT NULL)::int::bigint
FROM tally_request_calendar
