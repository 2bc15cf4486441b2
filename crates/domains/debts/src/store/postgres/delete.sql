-- Forgets a debt, and answers the deadline that it had.
DELETE FROM tally_debts WHERE id = $1 RETURNING overdue_at
