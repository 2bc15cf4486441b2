-- What a debt had that is forgotten.
DELETE FROM tally_debt_flips WHERE debt_id = $1
