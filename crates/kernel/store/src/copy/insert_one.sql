-- A row, on SQLite, which prepares this once for each table.
INSERT INTO :table (:columns) VALUES (:values)
