-- Where the producers of a batch stand, when not all of it fitted. In one order, as in
-- move_many.sql.
SELECT id, epoch, sequence FROM tally_producers
WHERE id = ANY ($1::UUID[]) ORDER BY id FOR UPDATE
