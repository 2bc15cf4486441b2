-- The backup beside the database.
ATTACH ? AS backup
