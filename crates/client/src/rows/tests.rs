//! Batches: how they are cut and encoded.
