-- Deletes the events of a timeline.
DELETE FROM tally_timeline_events WHERE timeline_id = ?1
