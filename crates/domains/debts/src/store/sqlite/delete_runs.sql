-- What a debt had that is forgotten.
DELETE FROM tally_debt_runs WHERE debt_id = ?1
