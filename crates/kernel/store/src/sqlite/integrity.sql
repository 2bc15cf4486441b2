-- What is wrong with the file: one row, ok, if nothing is.
PRAGMA integrity_check(1)
