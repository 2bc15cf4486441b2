-- Forgets messages that are old, the oldest first, and those of the same microsecond.
DELETE FROM tally_timeline_messages
WHERE received_at <= (
    SELECT max(o.received_at) FROM (
        SELECT received_at FROM tally_timeline_messages WHERE received_at < ?1 ORDER BY received_at LIMIT ?2
    ) AS o
)
