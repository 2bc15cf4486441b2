-- All but the default one, which a migration makes.
SELECT id, name FROM tally_namespaces WHERE id <> 0
