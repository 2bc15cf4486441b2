-- What is forgotten is in no earlier change.
UPDATE tally_request_changes
SET service = ?2, path = ?3, customer = ?4, into_service = ?5, into_path = ?6, into_customer = ?7,
    hash_key = ?8
WHERE seq = ?1
