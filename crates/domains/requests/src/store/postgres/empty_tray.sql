-- It visits no row, but a large file takes long to delete.
TRUNCATE TABLE :tray
