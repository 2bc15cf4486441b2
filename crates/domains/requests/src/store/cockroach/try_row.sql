-- To see whether a request of this moment could be stored. It is taken back before the COMMIT.
INSERT INTO tally_requests (day, series_id, requested_at)
VALUES ((now() AT TIME ZONE 'UTC')::DATE, 0, now())
