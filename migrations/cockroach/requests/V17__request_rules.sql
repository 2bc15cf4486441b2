-- Rules about counts, that webhooks are told of. The definition is JSON. A rule that fires has a time since
-- when, and one when that was told last. Whatever changes how it stands moves the number of its events by
-- one.
CREATE TABLE IF NOT EXISTS tally_request_rules (
    id UUID PRIMARY KEY,
    namespace_id INT8 NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    webhook TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    firing_since TIMESTAMPTZ,
    told_at TIMESTAMPTZ,
    events INT8 NOT NULL DEFAULT 0,
    UNIQUE (namespace_id, name)
)
