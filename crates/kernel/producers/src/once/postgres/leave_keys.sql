-- None of them is stored, and those before them are.
ROLLBACK TO SAVEPOINT keys
