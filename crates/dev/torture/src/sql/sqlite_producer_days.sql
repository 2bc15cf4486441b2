-- By day, the requests accepted from all producers and the drops they reported.
SELECT day, sum(accepted), sum(dropped) FROM tally_producer_days WHERE domain = 'requests' GROUP BY day;
