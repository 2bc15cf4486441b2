-- All of a table, in the order of its key where that is how it lies.
SELECT * FROM :table
