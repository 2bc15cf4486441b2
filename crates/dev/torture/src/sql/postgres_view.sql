-- The view for people and other programs.
SELECT (day - DATE '1970-01-01')::bigint,
       CASE namespace WHEN 'shop' THEN 1::bigint WHEN 'debts' THEN 2::bigint ELSE 0::bigint END,
       service, method, path, status::bigint, customer, total
FROM tally_totals_by_day
