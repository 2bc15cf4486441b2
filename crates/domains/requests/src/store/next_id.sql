-- What a database that counts ids up gives the next series, again after it went back: only for
-- the fault `series.reuse_ids`.
SELECT coalesce(max(id), 0) + 1 FROM tally_request_series
