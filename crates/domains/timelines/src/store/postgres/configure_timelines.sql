-- When the timelines of a context are deleted, by its new terms. 0 days are for ever.
UPDATE tally_timelines SET
    expires_at = CASE WHEN $2::BIGINT > 0 THEN heard_at + $2::BIGINT * INTERVAL '24 hours' END
WHERE context_id = $1
