-- In the transaction that moves the series.
INSERT INTO tally_request_changes
    (seq, token, namespace_id, kind, selected, author, changed_at, series, requests,
     service, path, customer, into_service, into_path, into_customer, hash_key)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, CAST(unixepoch('subsec') * 1000000 AS INTEGER), ?7, ?8,
        ?9, ?10, ?11, ?12, ?13, ?14, ?15)
