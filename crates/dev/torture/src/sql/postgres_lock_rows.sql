-- Before the snapshot, because none protects from a TRUNCATE.
LOCK TABLE tally_requests IN ACCESS SHARE MODE
