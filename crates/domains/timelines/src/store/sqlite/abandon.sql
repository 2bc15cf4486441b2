-- Abandons an event.
UPDATE tally_timeline_events SET abandoned_at = overdue_at, overdue_at = NULL WHERE timeline_id = ?1 AND number = ?2
