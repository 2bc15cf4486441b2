-- All rows of a table, in the binary form. One that is there already fails it.
COPY :table (:columns) FROM STDIN BINARY
