-- A producer whose batch is being stored is locked for as long as that takes. Whoever opens it takes
-- one of few places meanwhile, so it leaves the place soon and comes back later.
SET LOCAL lock_timeout = '50ms'
