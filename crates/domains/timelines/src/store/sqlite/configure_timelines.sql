-- When the timelines of a context are deleted, by its new terms. 0 days are for ever.
UPDATE tally_timelines SET expires_at = CASE WHEN ?2 > 0 THEN heard_at + ?2 * 86400000000 END WHERE context_id = ?1
