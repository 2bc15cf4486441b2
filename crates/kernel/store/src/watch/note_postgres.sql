-- Goes on, unless the last time is too far away, before or after: servers' clocks differ a little.
INSERT INTO tally_watches (name, since, until)
VALUES ($1::TEXT, $2::TIMESTAMPTZ, $2::TIMESTAMPTZ)
ON CONFLICT (name) DO UPDATE SET
    since = CASE
        WHEN excluded.until < tally_watches.until - $3::FLOAT8 * INTERVAL '1 second'
          OR excluded.until > tally_watches.until + $3::FLOAT8 * INTERVAL '1 second'
        THEN excluded.since
        ELSE tally_watches.since
    END,
    until = excluded.until
RETURNING since
