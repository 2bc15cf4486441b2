-- Series that have moved: what still comes under the one id counts under the other. No to_id is a from_id.
CREATE TABLE IF NOT EXISTS tally_request_moves (
    from_id INT8 PRIMARY KEY,
    to_id INT8 NOT NULL,
    change_seq INT8 NOT NULL
)
