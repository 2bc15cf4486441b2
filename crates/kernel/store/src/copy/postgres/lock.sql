-- Whoever would write to a table waits until it has all of its rows; reading goes on.
LOCK TABLE :tables IN SHARE ROW EXCLUSIVE MODE
