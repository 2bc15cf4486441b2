-- The sizes of the files of those trays whose rows count.
SELECT coalesce(sum(pg_relation_size(tray::REGCLASS)), 0)::INT8
FROM tally_request_trays WHERE state <> 'folded'
