-- So that the first queries have good plans; a vacuum comes later.
ANALYZE :tables
