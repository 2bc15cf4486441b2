-- All but those that were counted last: there are few, and this is housekeeping.
DELETE FROM tally_request_files WHERE fingerprint IN (
    SELECT fingerprint FROM tally_request_files
    ORDER BY counted_at DESC, fingerprint OFFSET $1::INT8
)
