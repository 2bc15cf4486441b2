-- At once, so that the connection can be used again.
ROLLBACK
