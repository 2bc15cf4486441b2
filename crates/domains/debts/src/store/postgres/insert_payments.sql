-- Stores payments.
INSERT INTO tally_debt_payments (
    debt_id, number, once, run_once, fingerprint, kind, run, stage, exit_status, received_at, said_at, took,
    slot_at, flags, key_name, source, body, body_bytes
)
SELECT * FROM unnest(
    $1::UUID[], $2::BIGINT[], $3::UUID[], $4::UUID[], $5::BIGINT[], $6::BIGINT[], $7::TEXT[], $8::TEXT[],
    $9::BIGINT[], $10::TIMESTAMPTZ[], $11::TIMESTAMPTZ[], $12::BIGINT[], $13::TIMESTAMPTZ[], $14::BIGINT[],
    $15::TEXT[], $16::TEXT[], $17::BYTEA[], $18::BIGINT[]
)
