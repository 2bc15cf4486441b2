-- The latest timelines in which a start waits for its end, or an end for its start.
SELECT DISTINCT timeline_id
FROM tally_timeline_events
WHERE context_id = ?1 AND name = ?2 AND host = ?3 AND span = ?4 AND kind = 0
  AND (started_ns IS NULL OR ended_ns IS NULL)
ORDER BY timeline_id DESC
LIMIT ?5
