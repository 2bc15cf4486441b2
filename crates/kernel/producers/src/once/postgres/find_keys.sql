-- What was stored under keys that are there. In a statement of its own: it sees what others have committed
-- while the one before it waited.
SELECT k.namespace_id, k.key, k.fingerprint
FROM unnest($2::INT8[], $3::TEXT[]) AS n (namespace_id, key)
JOIN tally_idempotency_keys AS k
    ON k.domain = $1::TEXT AND k.namespace_id = n.namespace_id AND k.key = n.key
