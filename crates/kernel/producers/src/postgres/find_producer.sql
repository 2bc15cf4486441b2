-- One row, locked until its epoch and claim are decided.
SELECT
    epoch, claim, sequence, is_shared, checkpoint, last_seen, domain = $2
FROM tally_producers WHERE id = $1 AND namespace_id = $3
FOR UPDATE
