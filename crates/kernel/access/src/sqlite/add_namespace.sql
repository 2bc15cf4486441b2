-- The next small number. Two commands at once would draw the same one: then one of them draws again.
INSERT INTO tally_namespaces (id, name)
SELECT COALESCE(max(id), 0) + 1, ?1 FROM tally_namespaces WHERE true
ON CONFLICT DO NOTHING
