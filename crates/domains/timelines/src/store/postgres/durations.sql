-- How long the events of a name took in each of these timelines, the last first, also in those that are not kept any
-- more: the longest that ended well, and how many failed. Each is looked up by its number.
SELECT timeline_number, min(begun_at), max(took), sum(failed)::BIGINT
FROM tally_timeline_durations
WHERE context_id = $1 AND timeline_number = ANY($2::BIGINT[]) AND name = $3
GROUP BY timeline_number
ORDER BY timeline_number DESC
