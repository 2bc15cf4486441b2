-- producers_max bounds the table. The coalesce is inside, because least leaves NULL out, and a
-- producer that has stored nothing has no days.
SELECT p.id, p.name, p.sequence, p.epoch = 0, p.last_seen,
       least(coalesce(sum(d.accepted), 0), 9223372036854775807)::INT8,
       least(coalesce(sum(d.dropped), 0), 9223372036854775807)::INT8
FROM tally_producers AS p
LEFT JOIN tally_producer_days AS d ON d.producer_id = p.id
WHERE p.domain = $1::TEXT AND p.namespace_id = $2::INT8 AND (p.epoch > 0 OR $3::BOOL)
GROUP BY p.id, p.name, p.sequence, p.epoch, p.last_seen
ORDER BY p.last_seen DESC, p.id
