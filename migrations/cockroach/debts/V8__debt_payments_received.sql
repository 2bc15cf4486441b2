-- Payments that are old enough to be deleted. Led by a hash, so that the inserts of one moment go to several
-- ranges.
CREATE INDEX IF NOT EXISTS tally_debt_payments_received ON tally_debt_payments (received_at) USING HASH WITH (bucket_count = 8)
