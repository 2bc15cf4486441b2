-- For those that are old enough to be deleted. Led by a hash, so that the inserts of one moment go to
-- several ranges.
CREATE INDEX IF NOT EXISTS tally_idempotency_keys_stored
ON tally_idempotency_keys (domain, stored_at) USING HASH WITH (bucket_count = 8)
