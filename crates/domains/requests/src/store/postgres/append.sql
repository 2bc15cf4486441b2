-- The domain's part of the statements that move a batch's producers: its rows are stored if those
-- move. Before a COPY there are none: this locks the tray. See kernel/producers.
, stored AS (
    INSERT INTO :tray (series_id, requested_at, requests)
    SELECT r.series_id, r.requested_at, r.requests
    FROM unnest($14::INT8[], $15::TIMESTAMPTZ[], $16::INT8[]) AS r (series_id, requested_at, requests)
    WHERE EXISTS (SELECT 1 FROM moved)
)
