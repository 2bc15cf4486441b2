-- A debt by what is in its ping URL.
SELECT id FROM tally_debts WHERE ping_id = ?1
