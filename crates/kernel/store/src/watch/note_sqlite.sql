-- Goes on, unless the last time is too far away, before or after.
INSERT INTO tally_watches (name, since, until) VALUES (?1, ?2, ?2)
ON CONFLICT (name) DO UPDATE SET
    since = iif(abs(excluded.until - until) > ?3, excluded.since, since),
    until = excluded.until
RETURNING since
