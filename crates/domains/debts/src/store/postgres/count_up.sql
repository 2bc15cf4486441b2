-- Counts a debt of a namespace, and gives it a number. The secret of badges is that of the first one. No row: there are as many as there may be.
INSERT INTO tally_debt_namespaces (namespace_id, last_number, debts, badge_secret)
SELECT $1::BIGINT, 1, 1, $3::UUID WHERE $2::BIGINT > 0
ON CONFLICT (namespace_id) DO UPDATE SET
    last_number = tally_debt_namespaces.last_number + 1,
    debts = tally_debt_namespaces.debts + 1
WHERE tally_debt_namespaces.debts < $2::BIGINT
RETURNING last_number
