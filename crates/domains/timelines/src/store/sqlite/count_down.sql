-- Takes back a context that was counted.
UPDATE tally_timeline_namespaces SET contexts = contexts - 1 WHERE namespace_id = ?1
