-- Stores how long the events of a name and host took.
INSERT INTO tally_timeline_durations (
    context_id, timeline_number, name, host, span, begun_at, took, waited, failed
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (context_id, timeline_number, name, host, span) DO UPDATE SET
    took = excluded.took, waited = excluded.waited, failed = excluded.failed
