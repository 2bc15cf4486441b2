-- After the last change of the day's totals in this transaction: each change removes the stamp.
INSERT INTO tally_request_day_stamps (day, stamp) VALUES (?1, randomblob(16))
ON CONFLICT (day) DO UPDATE SET stamp = excluded.stamp
