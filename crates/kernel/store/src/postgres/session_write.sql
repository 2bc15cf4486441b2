-- For connections that only store. A statement that takes longer ends with an error that says that
-- nothing was stored, before the caller gives up and does not know. It never ends a COMMIT: Postgres
-- stops its clock before it begins one. A lower limit that an administrator has set stays; 0 is none.
SELECT set_config('statement_timeout', ':limit_ms', false)
WHERE current_setting('statement_timeout')::INTERVAL
    NOT BETWEEN INTERVAL '1 us' AND INTERVAL ':limit_ms ms'
