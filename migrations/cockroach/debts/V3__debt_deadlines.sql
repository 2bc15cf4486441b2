-- When each debt is overdue if nothing comes before, and from when on it is late, if it is: as its own row says too.
-- Sweeps read it in this order: their cost is that of what is overdue, and many are due at the same moment. Led by a
-- hash, so that those of one moment go to several ranges.
CREATE TABLE IF NOT EXISTS tally_debt_deadlines (
    overdue_at TIMESTAMPTZ NOT NULL,
    debt_id UUID NOT NULL,
    namespace_id INT8 NOT NULL,
    late_at TIMESTAMPTZ,
    PRIMARY KEY (overdue_at, debt_id) USING HASH WITH (bucket_count = 8)
)
