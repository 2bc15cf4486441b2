-- Compared and swapped: something may have happened to the rule since it was read.
UPDATE tally_request_rules SET firing_since = ?3, told_at = ?4, events = events + 1
WHERE id = ?1 AND events = ?2
