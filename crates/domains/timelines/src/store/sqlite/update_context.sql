-- A context that has new timelines.
UPDATE tally_timeline_contexts SET timelines = ?2 WHERE id = ?1
