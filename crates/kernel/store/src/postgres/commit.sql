-- The one statement of a transaction whose outcome can stay unknown.
COMMIT
