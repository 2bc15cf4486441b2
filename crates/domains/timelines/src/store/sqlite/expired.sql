-- Timelines that are to be deleted, the oldest first.
SELECT id FROM tally_timelines WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
