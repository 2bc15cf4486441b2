-- Of each subject only the first event that is not done, so that they arrive in their order; and of each
-- receiver only a few, so that a slow one holds up no other one. The index has what is not done, which
-- is little.
SELECT id, receiver, url, body, created_at, attempts
FROM (
    SELECT id, receiver, url, body, created_at, attempts, due_at,
           row_number() OVER (PARTITION BY receiver ORDER BY due_at, id) AS of_receiver
    FROM (
        SELECT id, receiver, url, body, created_at, attempts, due_at,
               row_number() OVER (PARTITION BY domain, subject ORDER BY number) AS of_subject
        FROM tally_outbox
        WHERE due_at IS NOT NULL
    ) AS pending
    WHERE of_subject = 1 AND due_at <= $1::TIMESTAMPTZ
) AS due
WHERE of_receiver <= $2::INT8
ORDER BY due_at, id
LIMIT $3::INT8
