-- Messages that are old enough to be forgotten. Led by a hash, so that the inserts of one moment go to several
-- ranges.
CREATE INDEX IF NOT EXISTS tally_timeline_messages_received ON tally_timeline_messages (received_at) USING HASH WITH (bucket_count = 8)
