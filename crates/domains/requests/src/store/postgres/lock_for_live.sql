-- Taken before the snapshot, and held with it, on all trays: a fold truncates its tray, which no snapshot
-- protects from. Queries and inserts do not hinder each other.
LOCK TABLE tally_requests IN ACCESS SHARE MODE
