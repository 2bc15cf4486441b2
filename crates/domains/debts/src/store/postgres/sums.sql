-- How many debts there are of each status, and how often they were paid.
SELECT status, count(*), sum(payments)::BIGINT FROM tally_debts GROUP BY status
