-- Counts an event that is abandoned in its timeline.
UPDATE tally_timelines SET open_events = open_events - 1, abandoned_events = abandoned_events + 1 WHERE id = ?1
