-- A lookup by the key.
SELECT taken FROM tally_count_taken WHERE source = ?1 AND day = ?2 AND method_id = ?3
