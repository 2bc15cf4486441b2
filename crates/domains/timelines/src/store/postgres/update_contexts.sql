-- Contexts that have new timelines.
UPDATE tally_timeline_contexts AS c SET timelines = u.timelines
FROM unnest($1::UUID[], $2::BIGINT[]) AS u (id, timelines)
WHERE c.id = u.id
