-- A debt of a namespace.
SELECT id FROM tally_debts WHERE id = ?1 AND namespace_id = ?2
