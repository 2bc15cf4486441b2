-- How many debts each namespace has, and the number of its last one.
CREATE TABLE IF NOT EXISTS tally_debt_namespaces (
    namespace_id INT8 NOT NULL PRIMARY KEY,
    last_number INT8 NOT NULL,
    debts INT8 NOT NULL,
    badge_secret UUID NOT NULL
)
