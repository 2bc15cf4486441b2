-- Only after default_has_rows.sql said no, under the lock.
TRUNCATE TABLE tally_requests_default
