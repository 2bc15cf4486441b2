-- At the database's default isolation: READ COMMITTED in Postgres, SERIALIZABLE in CockroachDB.
START TRANSACTION
