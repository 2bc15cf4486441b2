-- Deletes a timeline.
DELETE FROM tally_timelines WHERE id = ?1
