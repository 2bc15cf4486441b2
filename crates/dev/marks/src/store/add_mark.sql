-- One mark, in SQLite.
INSERT INTO tally_marks (mark, day) VALUES (?, ?)
