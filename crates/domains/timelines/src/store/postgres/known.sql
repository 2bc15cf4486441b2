-- Messages that were stored before.
SELECT m.context_id, m.once, m.timeline_id, m.fingerprint
FROM unnest($1::UUID[], $2::UUID[]) AS w (context_id, once)
JOIN tally_timeline_messages AS m ON m.context_id = w.context_id AND m.once = w.once
