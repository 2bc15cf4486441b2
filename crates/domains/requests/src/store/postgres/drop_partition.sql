-- Only after has_rows.sql said no, under the lock on the parent.
DROP TABLE IF EXISTS :partition
