-- The first server to count draws the producer.
INSERT INTO tally_outbox_counter (id, producer_id, sequence) VALUES (0, ?1, 0) ON CONFLICT (id) DO NOTHING
