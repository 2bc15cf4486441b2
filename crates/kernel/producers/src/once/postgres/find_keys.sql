-- What was stored under keys that are there. In a statement of its own: it sees what others have committed
-- while the one before it waited.
SELECT key, fingerprint FROM tally_idempotency_keys
WHERE domain = $1::TEXT AND namespace_id = $2::INT8 AND key = ANY ($3::TEXT[])
