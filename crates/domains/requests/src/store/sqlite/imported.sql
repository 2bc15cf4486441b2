-- A lookup by the key.
SELECT imported FROM tally_imported_counts WHERE source = ?1 AND day = ?2 AND method_id = ?3
