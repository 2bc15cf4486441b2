-- Which of these contexts there are.
SELECT namespace_id, name
FROM tally_timeline_contexts
WHERE (namespace_id, name) IN (SELECT * FROM unnest($1::BIGINT[], $2::TEXT[]))
