-- What is forgotten is in no earlier change.
UPDATE tally_request_changes
SET service = $2::TEXT, path = $3::TEXT, customer = $4::TEXT, into_service = $5::TEXT, into_path = $6::TEXT,
    into_customer = $7::TEXT, hash_key = $8::TEXT
WHERE seq = $1::INT8
