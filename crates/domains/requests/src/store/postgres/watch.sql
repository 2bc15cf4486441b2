-- Goes on, unless the last time is too far away, before or after: servers' clocks differ a little.
INSERT INTO tally_request_watch (id, since, until)
VALUES (0, $1::TIMESTAMPTZ, $1::TIMESTAMPTZ)
ON CONFLICT (id) DO UPDATE SET
    since = CASE
        WHEN excluded.until < tally_request_watch.until - $2::FLOAT8 * INTERVAL '1 second'
          OR excluded.until > tally_request_watch.until + $2::FLOAT8 * INTERVAL '1 second'
        THEN excluded.since
        ELSE tally_request_watch.since
    END,
    until = excluded.until
RETURNING since
