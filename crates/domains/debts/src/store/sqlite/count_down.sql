-- A debt of a namespace is gone, or was there before.
UPDATE tally_debt_namespaces SET debts = debts - 1 WHERE namespace_id = ?1
