-- Keys that are being replaced expire, unless they do so earlier.
UPDATE tally_keys SET expires_at = $2::TIMESTAMPTZ
WHERE digest = ANY($1::BYTEA[]) AND (expires_at IS NULL OR expires_at > $2::TIMESTAMPTZ)
