-- A bounded step. A scan of the producers is cheaper than an index that every batch would have
-- to keep up. The database's own clock decides, because it has set last_seen. One that has stored
-- nothing may begin again, unless it is shared. A checkpoint is what keeps its client from counting
-- twice, so it stays for 400 days at least; and who numbers what domains count for each other stays. The
-- statements after this one add up the days of workers.
DELETE FROM tally_producers
WHERE (id, namespace_id) IN (
    SELECT id, namespace_id FROM tally_producers
    WHERE domain = $1::TEXT
      AND id NOT IN (SELECT producer_id FROM tally_outbox_counter)
      AND (last_seen < now() - INTERVAL '1 day'
               * CASE WHEN checkpoint IS NULL THEN $2::FLOAT8 ELSE greatest($2::FLOAT8, 400) END
           OR (sequence = 0 AND epoch > 0 AND NOT is_shared
               AND last_seen < now() - INTERVAL '1 hour'))
    ORDER BY id, namespace_id LIMIT $3::INT8
    FOR UPDATE
)
RETURNING id, epoch = 0, accepted
