-- The oldest first: they are told apart even if there are too many.
SELECT id, method, path FROM count.methods ORDER BY id
