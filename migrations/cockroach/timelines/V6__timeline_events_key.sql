-- What a timeline has of a name and host.
CREATE INDEX IF NOT EXISTS tally_timeline_events_key ON tally_timeline_events (timeline_id, name, host, span) WHERE kind = 0
