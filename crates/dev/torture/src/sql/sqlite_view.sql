-- The view for people and other programs.
SELECT unixepoch(day) / 86400, CASE namespace WHEN 'shop' THEN 1 WHEN 'debts' THEN 2 ELSE 0 END, service, method, path, status,
       customer, total
FROM tally_totals_by_day
