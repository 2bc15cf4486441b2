-- Before a statement that is tried out.
SAVEPOINT before
