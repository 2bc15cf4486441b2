-- Forgets a debt.
DELETE FROM tally_debts WHERE id = $1
