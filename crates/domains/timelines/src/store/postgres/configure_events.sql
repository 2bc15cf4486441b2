-- When the open events of a context are abandoned, by its new terms: from when its start was received.
UPDATE tally_timeline_events SET overdue_at = start_received_at + $2::BIGINT * INTERVAL '1 second'
WHERE context_id = $1 AND kind = 0 AND ended_ns IS NULL AND overdue_at IS NOT NULL
