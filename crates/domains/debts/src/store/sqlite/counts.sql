-- How many debts a namespace has, and of these by an index how many are new, down and paused: most are up. Then how
-- many are late at this moment, by their deadlines, and how many of those are new.
SELECT
    n.debts,
    (SELECT count(*) FROM tally_debts AS d WHERE d.namespace_id = n.namespace_id AND d.status = 0),
    (SELECT count(*) FROM tally_debts AS d WHERE d.namespace_id = n.namespace_id AND d.status = 2),
    (SELECT count(*) FROM tally_debts AS d WHERE d.namespace_id = n.namespace_id AND d.status = 3),
    (SELECT count(*) FROM tally_debt_deadlines AS w WHERE w.namespace_id = n.namespace_id AND w.late_at <= ?2),
    (
        SELECT count(*) FROM tally_debts AS d
        WHERE d.namespace_id = n.namespace_id AND d.status = 0 AND d.due_at <= ?2 AND d.overdue_at IS NOT NULL
    )
FROM tally_debt_namespaces AS n
WHERE n.namespace_id = ?1 OR ?1 IS NULL
