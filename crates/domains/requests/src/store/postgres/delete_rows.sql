-- In the transaction that adds the rows to the days, for a tray that goes on taking rows.
DELETE FROM :tray
