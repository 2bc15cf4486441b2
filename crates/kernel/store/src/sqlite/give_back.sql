-- Gives at most this many free pages back to the file system. It has an answer of one row for each.
PRAGMA incremental_vacuum(:pages)
