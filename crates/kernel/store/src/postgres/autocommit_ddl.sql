-- CockroachDB changes tables safely only outside explicit transactions.
SET autocommit_before_ddl = on
