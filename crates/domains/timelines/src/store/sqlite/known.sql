-- A message that was stored before.
SELECT timeline_id, fingerprint FROM tally_timeline_messages WHERE context_id = ?1 AND once = ?2
