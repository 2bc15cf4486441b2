-- After the total was looked at, in the same transaction.
INSERT INTO tally_request_corrections
    (id, day, series_id, requests, reason, author, corrected_at, namespace_id)
VALUES ($1::UUID, DATE '1970-01-01' + $2::INT4, $3::INT8, $4::INT8, $5::TEXT, $6::TEXT, now(),
        $7::INT8)
