-- Stores an event that is new or has changed.
INSERT INTO tally_timeline_events (
    timeline_id, number, context_id, name, host, span, kind, rank, started_ns, start_received_at,
    start_attributes, ended_ns, end_received_at, end_attributes, status, phases, overdue_at, abandoned_at
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
ON CONFLICT (timeline_id, number) DO UPDATE SET
    rank = excluded.rank, started_ns = excluded.started_ns, start_received_at = excluded.start_received_at,
    start_attributes = excluded.start_attributes, ended_ns = excluded.ended_ns,
    end_received_at = excluded.end_received_at, end_attributes = excluded.end_attributes,
    status = excluded.status, phases = excluded.phases, overdue_at = excluded.overdue_at,
    abandoned_at = excluded.abandoned_at
