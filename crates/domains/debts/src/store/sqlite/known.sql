-- A payment that is known by what tells it.
SELECT number, fingerprint, flags FROM tally_debt_payments WHERE debt_id = ?1 AND once = ?2
UNION ALL
SELECT number, fingerprint, flags FROM tally_debt_payments WHERE debt_id = ?1 AND run_once = ?2
LIMIT 1
