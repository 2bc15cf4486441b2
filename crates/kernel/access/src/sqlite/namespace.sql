-- By its name, which the table holds once.
SELECT id FROM tally_namespaces WHERE name = ?1
