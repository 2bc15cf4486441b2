-- How long the events of each name took in the last finished timelines before this one, also in those that are not
-- kept any more: the longest that ended well, and how many failed.
SELECT timeline_number, name, max(took), sum(failed)
FROM tally_timeline_durations
WHERE context_id = ?1 AND timeline_number IN (
    SELECT DISTINCT d.timeline_number
    FROM tally_timeline_durations AS d
    LEFT JOIN tally_timelines AS t ON t.context_id = d.context_id AND t.number = d.timeline_number
    WHERE d.context_id = ?1 AND d.timeline_number < ?2 AND coalesce(t.open_events, 0) = 0
    ORDER BY d.timeline_number DESC
    LIMIT ?3
)
GROUP BY timeline_number, name
