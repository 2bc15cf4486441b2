-- What is copied of a table's rows: the columns that both databases have.
SELECT :columns FROM (
:query
) AS t
