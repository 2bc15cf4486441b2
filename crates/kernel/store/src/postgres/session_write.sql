-- For connections that only store. A statement that takes longer ends with an error that says that
-- nothing was stored, before the caller gives up and does not know. It never ends a COMMIT: Postgres
-- stops its clock before it begins one. A lower limit that an administrator has set stays.
SELECT set_config('statement_timeout', ':limit_ms', false) FROM pg_settings
WHERE name = 'statement_timeout' AND (setting::INT8 = 0 OR setting::INT8 > :limit_ms)
