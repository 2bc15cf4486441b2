-- By day, the requests accepted from all producers and the drops they reported.
SELECT day, sum(accepted), sum(dropped) FROM tally_producer_days GROUP BY day;
