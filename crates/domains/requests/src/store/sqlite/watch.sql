-- Goes on, unless the last time is too far away, before or after.
INSERT INTO tally_request_watch (id, since, until) VALUES (0, ?1, ?1)
ON CONFLICT (id) DO UPDATE SET
    since = iif(abs(excluded.until - until) > ?2, excluded.since, since),
    until = excluded.until
RETURNING since
