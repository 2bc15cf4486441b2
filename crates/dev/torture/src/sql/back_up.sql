-- A copy of the database as it is at this moment, while others write.
VACUUM INTO ?
