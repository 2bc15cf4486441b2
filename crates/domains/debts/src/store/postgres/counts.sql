-- How many debts there are of each status.
SELECT status, count(*) FROM tally_debts WHERE namespace_id = $1 OR $1::BIGINT IS NULL GROUP BY status
