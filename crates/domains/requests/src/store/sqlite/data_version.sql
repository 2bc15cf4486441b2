-- Another number than before if another connection has committed meanwhile: the sqlite3 shell, a
-- restored backup. Only numbers of one connection can be compared.
PRAGMA data_version
