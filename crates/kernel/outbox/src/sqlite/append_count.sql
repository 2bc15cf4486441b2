-- No batch has it yet.
INSERT INTO tally_outbox_counts (batch, id, namespace_id, service, method, path, status, requested_at)
VALUES (0, ?1, ?2, ?3, ?4, ?5, ?6, ?7)
