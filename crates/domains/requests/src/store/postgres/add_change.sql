-- In the transaction that moves the first series.
INSERT INTO tally_request_changes
    (seq, token, namespace_id, kind, selected, author, changed_at, series, requests,
     service, path, customer, into_service, into_path, into_customer, hash_key)
VALUES ($1::INT8, $2::INT8, $3::INT8, $4::TEXT, $5::TEXT, $6::TEXT, now(), $7::INT8, $8::INT8,
        $9::TEXT, $10::TEXT, $11::TEXT, $12::TEXT, $13::TEXT, $14::TEXT, $15::TEXT)
