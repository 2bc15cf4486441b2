-- Counts a context of a namespace; no row: there are as many as there may be.
INSERT INTO tally_timeline_namespaces (namespace_id, contexts)
SELECT ?1, 1 WHERE ?2 > 0
ON CONFLICT (namespace_id) DO UPDATE SET contexts = tally_timeline_namespaces.contexts + 1
WHERE tally_timeline_namespaces.contexts < ?2
RETURNING contexts
