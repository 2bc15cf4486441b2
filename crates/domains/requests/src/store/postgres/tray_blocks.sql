-- The sizes of the trays in blocks, empty ones left out. The parent is named like a tray.
SELECT c.relname::TEXT, pg_relation_size(c.oid) / current_setting('block_size')::INT8
FROM pg_class AS c
WHERE c.oid IN (
    SELECT 'tally_requests'::REGCLASS UNION ALL
    SELECT inhrelid FROM pg_inherits WHERE inhparent = 'tally_requests'::REGCLASS
) AND pg_relation_size(c.oid) > 0
