-- A lookup by the key.
SELECT imported FROM tally_request_imports WHERE namespace_id = ?4 AND source = ?1 AND day = ?2 AND method = ?3
