-- Stores a payment.
INSERT INTO tally_debt_payments (
    debt_id, number, once, run_once, fingerprint, kind, run, stage, exit_status, received_at, said_at, took,
    slot_at, flags, key_name, source, body, body_bytes
)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
