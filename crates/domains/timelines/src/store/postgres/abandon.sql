-- Abandons the events of these contexts that are overdue, and counts them in their timelines.
WITH abandoned AS (
    UPDATE tally_timeline_events SET abandoned_at = overdue_at, overdue_at = NULL
    WHERE context_id = ANY($1::UUID[]) AND overdue_at <= $2
    RETURNING timeline_id
), counted AS (
    SELECT timeline_id, count(*) AS events FROM abandoned GROUP BY timeline_id
)
UPDATE tally_timelines AS t SET
    open_events = t.open_events - c.events, abandoned_events = t.abandoned_events + c.events
FROM counted AS c
WHERE t.id = c.timeline_id
RETURNING c.events
