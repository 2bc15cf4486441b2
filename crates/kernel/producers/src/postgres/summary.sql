-- The clients in few words: producers_max bounds the table, and an index has the days that lack something.
-- The batches of many days that are not added up yet are few.
SELECT
    (SELECT count(*) FROM tally_producers
     WHERE domain = $1::TEXT AND namespace_id = $2::INT8 AND epoch > 0),
    (SELECT max(last_seen) FROM tally_producers
     WHERE domain = $1::TEXT AND namespace_id = $2::INT8 AND epoch > 0),
    (SELECT least(coalesce(sum(dropped), 0), 9223372036854775807)::INT8 FROM (
        SELECT dropped FROM tally_producer_days
        WHERE dropped > 0 AND domain = $1::TEXT AND namespace_id = $2::INT8
        UNION ALL
        SELECT n.dropped FROM tally_producer_batches AS b, unnest(b.dropped) AS n (dropped)
        WHERE b.domain = $1::TEXT AND b.namespace_id = $2::INT8
    ) AS d),
    (SELECT least(coalesce(sum(producers), 0), 9223372036854775807)::INT8
     FROM tally_producer_setbacks WHERE domain = $1::TEXT AND namespace_id = $2::INT8)
