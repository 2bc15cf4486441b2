-- How long the events of a name and host took in each timeline: the longest attempt that ended well, how much of
-- it was waiting, and how many failed. They outlive their events. took and waited count microseconds.
CREATE TABLE IF NOT EXISTS tally_timeline_durations (
    context_id UUID NOT NULL,
    timeline_number INT8 NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    span TEXT NOT NULL,
    begun_at TIMESTAMPTZ NOT NULL,
    took INT8,
    waited INT8 NOT NULL,
    failed INT8 NOT NULL,
    PRIMARY KEY (context_id, timeline_number, name, host, span)
)
