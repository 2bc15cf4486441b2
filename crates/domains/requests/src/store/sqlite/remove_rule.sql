-- Its events go in the same transaction.
DELETE FROM tally_request_rules WHERE id = ?1
