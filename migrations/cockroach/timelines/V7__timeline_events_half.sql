-- Starts without ends and ends without starts, whose other half may come to any timeline. Ids of timelines
-- are in the order in which they were made.
CREATE INDEX IF NOT EXISTS tally_timeline_events_half ON tally_timeline_events (context_id, name, host, span, timeline_id)
    WHERE kind = 0 AND (started_ns IS NULL OR ended_ns IS NULL)
