-- Those that the database has not: the answer. They are stored in one order, so that two servers with the
-- same keys wait for each other instead of deadlocking. A key that another transaction is storing is
-- waited for, for a moment, and then it is there, or it is stored.
INSERT INTO tally_idempotency_keys (domain, namespace_id, key, fingerprint)
SELECT $1::TEXT, n.namespace_id, n.key, n.fingerprint
FROM unnest($2::INT8[], $3::TEXT[], $4::BYTEA[]) AS n (namespace_id, key, fingerprint)
ORDER BY n.namespace_id, n.key
ON CONFLICT (domain, namespace_id, key) DO NOTHING
RETURNING namespace_id, key
