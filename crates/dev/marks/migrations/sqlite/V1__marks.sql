-- One row for each mark. It has no key, so that a mark that is stored twice is there twice.
CREATE TABLE tally_marks (
    mark INTEGER NOT NULL,
    day INTEGER NOT NULL
) STRICT;
