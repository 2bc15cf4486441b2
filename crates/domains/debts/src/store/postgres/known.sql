-- Payments that are known by what tells them.
SELECT w.debt_id, w.once, p.number, p.fingerprint
FROM unnest($1::UUID[], $2::UUID[]) AS w (debt_id, once)
JOIN tally_debt_payments AS p ON p.debt_id = w.debt_id AND p.once = w.once
UNION ALL
SELECT w.debt_id, w.once, p.number, p.fingerprint
FROM unnest($1::UUID[], $2::UUID[]) AS w (debt_id, once)
JOIN tally_debt_payments AS p ON p.debt_id = w.debt_id AND p.run_once = w.once
