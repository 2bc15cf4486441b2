-- After mark_pruned.sql.
DELETE FROM tally_request_days WHERE day = ?1
