-- How often no server looked at debts for too long.
SELECT count(*) FROM tally_debt_gaps
