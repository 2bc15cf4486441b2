-- Whether there is such a row: it reads up to the first one.
SELECT EXISTS (SELECT 1 FROM (
:query
) AS t WHERE :condition)
