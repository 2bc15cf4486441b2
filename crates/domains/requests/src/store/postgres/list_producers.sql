-- Every producer with the sums of its days; producers_max bounds the table.
SELECT p.id, p.name, p.sequence, p.epoch = 0, p.last_seen,
       coalesce(least(sum(d.accepted), 9223372036854775807), 0)::INT8,
       coalesce(least(sum(d.dropped), 9223372036854775807), 0)::INT8
FROM tally_producers AS p
LEFT JOIN tally_producer_days AS d ON d.producer_id = p.id
WHERE p.epoch > 0 OR $1::BOOL
GROUP BY p.id, p.name, p.sequence, p.epoch, p.last_seen
ORDER BY p.last_seen DESC, p.id
