-- What timelines have of names and hosts: the timeline that is given, the latest ones in which a start waits
-- for its end, or an end for its start, and for a phase the latest ones, in which its event may have ended.
SELECT o.timeline_id, o.number, o.context_id, o.name, o.host, o.span, o.kind, o.rank, o.started_ns,
    o.start_received_at, o.start_attributes, o.ended_ns, o.end_received_at, o.end_attributes, o.status, o.phases,
    o.overdue_at, o.abandoned_at
FROM unnest($1::UUID[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::UUID[], $6::BOOL[])
    AS w (context_id, name, host, span, timeline_id, is_phase)
JOIN LATERAL (
    SELECT w.timeline_id
    UNION
    (
        SELECT DISTINCT h.timeline_id
        FROM tally_timeline_events AS h
        WHERE h.context_id = w.context_id AND h.name = w.name AND h.host = w.host AND h.span = w.span
          AND h.kind = 0 AND (h.started_ns IS NULL OR h.ended_ns IS NULL)
        ORDER BY h.timeline_id DESC
        LIMIT $7
    )
    UNION
    (
        SELECT n.id
        FROM tally_timelines AS n
        WHERE w.is_phase AND n.context_id = w.context_id
        ORDER BY n.number DESC
        LIMIT $7
    )
) AS t ON TRUE
JOIN tally_timeline_events AS o
    ON o.timeline_id = t.timeline_id AND o.name = w.name AND o.host = w.host AND o.span = w.span AND o.kind = 0
