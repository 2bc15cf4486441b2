-- Deletes the events of timelines.
DELETE FROM tally_timeline_events WHERE timeline_id = ANY($1::UUID[])
