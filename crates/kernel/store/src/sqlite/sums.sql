-- For each table, a statement that says how many rows it has and what their values add up to: numbers by
-- their rest, so that no sum overflows, texts and blobs by their length.
SELECT t.name,
       'SELECT count(*), ' || group_concat(
           printf(
               'coalesce(sum(iif(typeof("%w") = ''integer'', "%w" %% 1048573, length("%w"))), 0)',
               c.name, c.name, c.name
           ),
           ' + '
       ) || printf(' FROM "%w"', t.name)
FROM sqlite_schema AS t
JOIN pragma_table_info(t.name) AS c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\'
GROUP BY t.name
ORDER BY t.name
