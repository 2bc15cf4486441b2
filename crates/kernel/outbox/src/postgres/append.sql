-- They are due at once. A second event of the same number is refused by the table: two servers that judge
-- at the same time cannot both have it.
INSERT INTO tally_outbox (id, domain, subject, number, receiver, url, body, created_at, due_at)
SELECT e.id, e.domain, e.subject, e.number, e.receiver, e.url, e.body, e.created_at, e.created_at
FROM unnest(
    $1::UUID[], $2::TEXT[], $3::UUID[], $4::INT8[], $5::TEXT[], $6::TEXT[], $7::TEXT[], $8::TIMESTAMPTZ[]
) AS e (id, domain, subject, number, receiver, url, body, created_at)
