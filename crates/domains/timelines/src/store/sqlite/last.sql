-- The latest timelines of a context.
SELECT id FROM tally_timelines WHERE context_id = ?1 ORDER BY number DESC LIMIT ?2
