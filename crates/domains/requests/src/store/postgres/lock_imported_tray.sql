-- An import holds this table for long and then wants the books, so that a fold, which holds the books,
-- must not wait for it.
LOCK TABLE :tray IN SHARE ROW EXCLUSIVE MODE NOWAIT
