-- Debts with what is later than this moment, after an id: a server has stored it whose clock was ahead, or it was
-- paid early. Once an hour all debts are read for it, so that no payment has to keep an index.
SELECT id
FROM tally_debts
WHERE id > ?2
  AND (
      settled_at > ?1 OR since > ?1 OR paid_at > ?1 OR rate_period_at > ?1
      OR open_runs > 0 AND EXISTS (
          SELECT 1 FROM tally_debt_runs WHERE debt_id = id AND outcome = 0 AND heard_at > ?1
      )
  )
ORDER BY id
LIMIT ?3
