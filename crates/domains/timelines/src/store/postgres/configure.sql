-- Gives a context other terms.
UPDATE tally_timeline_contexts SET retention_days = $2, abandon_after = $3 WHERE id = $1
