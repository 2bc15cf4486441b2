-- How many debts there are of each status, and how often they were paid.
SELECT status, count(*), sum(payments) FROM tally_debts GROUP BY status
