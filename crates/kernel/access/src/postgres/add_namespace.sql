-- The next small number. Two commands at once would draw the same one: then one of them draws again.
INSERT INTO tally_namespaces (id, name)
SELECT COALESCE(max(id), 0) + 1, $1::TEXT FROM tally_namespaces
ON CONFLICT DO NOTHING
RETURNING id
