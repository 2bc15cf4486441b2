-- Some rows of a table, column by column, because the driver's other way does not work there.
INSERT INTO :table (:columns) SELECT * FROM unnest(:values)
