-- Lookups by the key, in the order that was asked for.
SELECT coalesce(t.imported, 0)
FROM unnest($2::INT4[], $3::INT8[]) WITH ORDINALITY AS w (day, method, place)
LEFT JOIN tally_request_imports AS t
    ON t.namespace_id = $4::INT8 AND t.source = $1 AND t.day = DATE '1970-01-01' + w.day AND t.method = w.method
ORDER BY w.place
