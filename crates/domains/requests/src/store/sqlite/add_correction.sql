-- After the total was looked at, in the same transaction.
INSERT INTO tally_request_corrections
    (id, day, series_id, requests, reason, author, corrected_at, namespace_id)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, CAST(unixepoch('subsec') * 1000000 AS INTEGER), ?7)
