-- One row for each mark. It has no key, so that a mark that is stored twice is there twice.
CREATE TABLE IF NOT EXISTS tally_marks (
    mark INT8 NOT NULL,
    day INT4 NOT NULL
);
