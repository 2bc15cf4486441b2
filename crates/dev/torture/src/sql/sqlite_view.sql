-- The view for people and other programs.
SELECT unixepoch(day) / 86400, service, method, path, status, customer, total FROM tally_totals_by_day
