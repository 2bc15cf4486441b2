-- How many debts of a tag are down, late, up, new, and paused. One that is late is up or new as well.
SELECT
    count(CASE WHEN status = 2 THEN 1 END), count(CASE WHEN status <= 1 AND due_at <= ?3 THEN 1 END),
    count(CASE WHEN status = 1 THEN 1 END), count(CASE WHEN status = 0 THEN 1 END),
    count(CASE WHEN status = 3 THEN 1 END)
FROM tally_debts
WHERE namespace_id = ?1
  AND EXISTS (SELECT 1 FROM json_each(coalesce(definition -> 'tags', '[]')) WHERE value = ?2)
