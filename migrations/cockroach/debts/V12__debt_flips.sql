-- Alarms and recoveries, in turns: alarms have odd numbers. at is the exact moment, noticed_at when a server
-- wrote it.
CREATE TABLE IF NOT EXISTS tally_debt_flips (
    debt_id UUID NOT NULL,
    number INT8 NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    noticed_at TIMESTAMPTZ NOT NULL,
    cause TEXT NOT NULL,
    PRIMARY KEY (debt_id, number)
)
