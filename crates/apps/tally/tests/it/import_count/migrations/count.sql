-- The tables of the Go server of count.v1, as far as they are imported.
CREATE SCHEMA count;

CREATE TABLE count.methods (
    id SERIAL PRIMARY KEY,
    method VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    UNIQUE (method, path)
);

CREATE TABLE count.requests (
    method_id INT NOT NULL REFERENCES count.methods (id),
    request_timestamp TIMESTAMPTZ NOT NULL
);

CREATE INDEX requests_date_idx ON count.requests (request_timestamp);

CREATE TABLE count.daily_method_totals (
    day DATE NOT NULL DEFAULT CURRENT_DATE,
    method_id INT NOT NULL REFERENCES count.methods (id),
    total BIGINT,
    PRIMARY KEY (day, method_id)
);
