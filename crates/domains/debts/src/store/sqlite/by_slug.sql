-- A debt of a namespace.
SELECT id FROM tally_debts WHERE slug = ?1 AND namespace_id = ?2
