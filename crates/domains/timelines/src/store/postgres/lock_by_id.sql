-- The same, by their ids.
SELECT id FROM tally_timeline_contexts WHERE id = ANY($1::UUID[]) ORDER BY id FOR UPDATE
