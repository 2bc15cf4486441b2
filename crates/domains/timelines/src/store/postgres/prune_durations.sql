-- Deletes durations that are old, as messages.
DELETE FROM tally_timeline_durations
WHERE begun_at <= (
    SELECT max(o.begun_at) FROM (
        SELECT begun_at FROM tally_timeline_durations WHERE begun_at < $1 ORDER BY begun_at LIMIT $2
    ) AS o
)
RETURNING failed
