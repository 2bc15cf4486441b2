-- Attaches the backup.
ATTACH ? AS backup
