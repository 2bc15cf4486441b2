-- A lookup in the unique index.
SELECT id FROM tally_request_series
WHERE namespace_id = ?1 AND service = ?2 AND method = ?3 AND path = ?4 AND status = ?5
    AND customer = ?6
