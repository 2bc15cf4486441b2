-- What people add to the total of a day and a series, or take from it, and why. No total has it in it.
CREATE TABLE IF NOT EXISTS tally_request_corrections (
    id UUID NOT NULL,
    namespace_id INT8 NOT NULL,
    day DATE NOT NULL,
    series_id INT8 NOT NULL,
    requests INT8 NOT NULL,
    reason TEXT NOT NULL,
    author TEXT NOT NULL,
    corrected_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (id, namespace_id)
)
