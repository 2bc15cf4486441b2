-- For what is missing from a range of days: most rows are not in it.
CREATE INDEX IF NOT EXISTS tally_producer_days_dropped ON tally_producer_days (domain, namespace_id, day)
WHERE dropped > 0
