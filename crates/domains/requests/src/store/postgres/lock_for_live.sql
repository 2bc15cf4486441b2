-- Taken before the snapshot, and held with it: a roll-up truncates its partition, which no
-- snapshot protects from. Readers and inserts do not hinder each other.
LOCK TABLE tally_requests IN ACCESS SHARE MODE
