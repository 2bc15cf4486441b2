-- How many contexts and timelines there are, and how their events stand.
SELECT
    (SELECT count(*) FROM tally_timeline_contexts), count(*), coalesce(sum(events), 0)::BIGINT,
    coalesce(sum(open_events), 0)::BIGINT, coalesce(sum(abandoned_events), 0)::BIGINT
FROM tally_timelines
