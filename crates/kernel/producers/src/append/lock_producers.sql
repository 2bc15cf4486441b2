-- Where the producers of a batch stand, when not all of it fitted, and those of the same ids in other
-- namespaces, which the caller leaves out. In one order, as in move_many.sql.
SELECT id, namespace_id, epoch, sequence FROM tally_producers
WHERE id = ANY ($1::UUID[]) ORDER BY id, namespace_id FOR UPDATE
