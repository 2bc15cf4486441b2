-- All but those that were counted last: there are few, and this is housekeeping.
DELETE FROM tally_request_files WHERE (namespace_id, fingerprint) IN (
    SELECT namespace_id, fingerprint FROM tally_request_files
    ORDER BY counted_at DESC, namespace_id, fingerprint LIMIT -1 OFFSET ?1
)
