-- Copies the current state of the database while others write.
VACUUM INTO ?
