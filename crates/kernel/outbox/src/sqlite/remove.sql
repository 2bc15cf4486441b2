-- All of a subject's: nothing is sent of what does not exist any more, except what is being sent now.
DELETE FROM tally_outbox WHERE domain = ?1 AND subject = ?2
