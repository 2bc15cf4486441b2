-- Runs. outcome is 0 open, 1 succeeded, 2 failed, 3 timed out, 4 abandoned; stages are those that have come, in
-- JSON.
CREATE TABLE IF NOT EXISTS tally_debt_runs (
    debt_id UUID NOT NULL,
    number INT8 NOT NULL,
    run TEXT,
    started_at TIMESTAMPTZ,
    heard_at TIMESTAMPTZ NOT NULL,
    stages TEXT NOT NULL,
    overdue_at TIMESTAMPTZ,
    outcome INT8 NOT NULL,
    ended_at TIMESTAMPTZ,
    PRIMARY KEY (debt_id, number)
)
