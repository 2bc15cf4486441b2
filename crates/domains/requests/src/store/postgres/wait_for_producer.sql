-- A producer whose batch is being stored is locked for as long as that takes. Whoever opens it
-- holds up all others who open one, so it comes back later instead.
SET LOCAL lock_timeout = '200ms'
