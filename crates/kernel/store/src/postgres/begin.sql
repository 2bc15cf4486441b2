-- At the isolation level that the database has by default.
START TRANSACTION
