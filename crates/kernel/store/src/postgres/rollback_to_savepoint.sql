-- Takes back what was tried out. The transaction goes on.
ROLLBACK TO SAVEPOINT before
