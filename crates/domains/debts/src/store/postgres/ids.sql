-- The debts that are asked for: by their ids, each of a namespace or of any; by numbers and slugs of their
-- namespaces; and by what is in their ping URLs.
SELECT d.id, d.namespace_id, d.number, d.slug, d.ping_id
FROM unnest($1::UUID[], $2::BIGINT[]) AS w (id, namespace_id)
JOIN tally_debts AS d ON d.id = w.id AND d.namespace_id = coalesce(w.namespace_id, d.namespace_id)
UNION ALL
SELECT d.id, d.namespace_id, d.number, d.slug, d.ping_id
FROM unnest($3::BIGINT[], $4::BIGINT[]) AS w (namespace_id, number)
JOIN tally_debts AS d ON d.namespace_id = w.namespace_id AND d.number = w.number
UNION ALL
SELECT d.id, d.namespace_id, d.number, d.slug, d.ping_id
FROM unnest($5::BIGINT[], $6::TEXT[]) AS w (namespace_id, slug)
JOIN tally_debts AS d ON d.namespace_id = w.namespace_id AND d.slug = w.slug
UNION ALL
SELECT d.id, d.namespace_id, d.number, d.slug, d.ping_id
FROM unnest($7::UUID[]) AS w (ping_id)
JOIN tally_debts AS d ON d.ping_id = w.ping_id
