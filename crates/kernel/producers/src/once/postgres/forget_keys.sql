-- A bounded step, by the index on the time. The database's own clock decides, because it has set stored_at.
DELETE FROM tally_idempotency_keys
WHERE (domain, namespace_id, key) IN (
    SELECT domain, namespace_id, key FROM tally_idempotency_keys
    WHERE domain = $1::TEXT AND stored_at < now() - INTERVAL '1 second' * $2::FLOAT8
    ORDER BY stored_at LIMIT $3::INT8
)
