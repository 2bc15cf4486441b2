-- Those that say something about later series; there are few.
SELECT service, path, customer, into_service, into_path, into_customer, hash_key, seq,
    namespace_id
FROM tally_request_changes
WHERE coalesce(service, path, customer) IS NOT NULL ORDER BY seq
