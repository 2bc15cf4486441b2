-- Timelines by their numbers, and by their labels.
SELECT id, context_id, number, label, begun_at, heard_at, expires_at, first_ns, last_ns, events, open_events,
    abandoned_events, failed_events
FROM tally_timelines
WHERE (context_id, number) IN (SELECT * FROM unnest($1::UUID[], $2::BIGINT[]))
UNION
SELECT id, context_id, number, label, begun_at, heard_at, expires_at, first_ns, last_ns, events, open_events,
    abandoned_events, failed_events
FROM tally_timelines
WHERE (context_id, label) IN (SELECT * FROM unnest($3::UUID[], $4::TEXT[]))
