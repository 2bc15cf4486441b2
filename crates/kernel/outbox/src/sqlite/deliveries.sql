-- The latest first, by the index on the number. One that is due waits as long as an earlier one is not done.
SELECT
    o.id, o.number, o.receiver, o.body, o.created_at, o.due_at, o.done_at, o.is_delivered, o.attempts, o.answer,
    o.due_at IS NOT NULL AND EXISTS (
        SELECT 1 FROM tally_outbox AS e
        WHERE e.domain = o.domain AND e.subject = o.subject AND e.number < o.number AND e.due_at IS NOT NULL
    )
FROM tally_outbox AS o
WHERE o.domain = ?1 AND o.subject = ?2 AND o.number < ?3
ORDER BY o.number DESC
LIMIT ?4
