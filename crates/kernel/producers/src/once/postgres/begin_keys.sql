-- A lock that is not had in time undoes a part of the keys, and nothing before it. No plan.
SAVEPOINT keys
