-- Timelines that are to be deleted, the oldest first, and their contexts.
SELECT id, context_id FROM tally_timelines WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2
