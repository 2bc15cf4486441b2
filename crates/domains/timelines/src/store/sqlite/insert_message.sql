-- Notes a message, so that it is known if it comes again.
INSERT INTO tally_timeline_messages (context_id, once, fingerprint, timeline_id, received_at)
VALUES (?1, ?2, ?3, ?4, ?5)
