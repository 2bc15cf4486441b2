-- How many debts a namespace has, and of these by an index how many are new, down and paused: most are up.
SELECT
    n.debts,
    (SELECT count(*) FROM tally_debts AS d WHERE d.namespace_id = n.namespace_id AND d.status = 0),
    (SELECT count(*) FROM tally_debts AS d WHERE d.namespace_id = n.namespace_id AND d.status = 2),
    (SELECT count(*) FROM tally_debts AS d WHERE d.namespace_id = n.namespace_id AND d.status = 3)
FROM tally_debt_namespaces AS n
WHERE n.namespace_id = $1 OR $1::BIGINT IS NULL
