-- By day, the requests accepted from all producers and the drops they reported.
SELECT (day - DATE '1970-01-01')::bigint, sum(accepted)::bigint, sum(dropped)::bigint
FROM tally_producer_days WHERE domain = 'requests' GROUP BY day;
