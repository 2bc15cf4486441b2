-- What a debt had that is forgotten.
DELETE FROM tally_debt_payments WHERE debt_id = $1
