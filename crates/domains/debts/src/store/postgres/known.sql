-- Payments that are known by what tells them. Each is the first one from there on in the order of its index:
-- asked for by equality, the planner may take any index that begins with the debt, and read all of its payments.
SELECT w.debt_id, w.once, p.number, p.fingerprint, p.flags
FROM unnest($1::UUID[], $2::UUID[]) AS w (debt_id, once)
JOIN LATERAL (
    SELECT o.once, o.number, o.fingerprint, o.flags FROM tally_debt_payments AS o
    WHERE o.debt_id = w.debt_id AND o.once >= w.once
    ORDER BY o.once
    LIMIT 1
) AS p ON p.once = w.once
UNION ALL
SELECT w.debt_id, w.once, p.number, p.fingerprint, p.flags
FROM unnest($1::UUID[], $2::UUID[]) AS w (debt_id, once)
JOIN LATERAL (
    SELECT o.run_once, o.number, o.fingerprint, o.flags FROM tally_debt_payments AS o
    WHERE o.debt_id = w.debt_id AND o.run_once >= w.once
    ORDER BY o.run_once
    LIMIT 1
) AS p ON p.run_once = w.once
