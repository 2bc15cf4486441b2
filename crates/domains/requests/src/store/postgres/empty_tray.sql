-- At once, however many rows.
TRUNCATE TABLE :tray
