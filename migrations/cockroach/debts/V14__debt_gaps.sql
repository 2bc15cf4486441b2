-- Times during which no server looked at debts. They are no silence of those who pay.
CREATE TABLE IF NOT EXISTS tally_debt_gaps (
    from_at TIMESTAMPTZ NOT NULL PRIMARY KEY,
    until_at TIMESTAMPTZ NOT NULL
)
