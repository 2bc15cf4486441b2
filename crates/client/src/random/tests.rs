//! The shape and the range of random values.

use super::*;

#[test]
fn an_id_is_a_uuid_of_version_7() {
    let id = producer_id(0x0123_4567_89ab * 1000);
    assert_eq!(id[..6], [0x01, 0x23, 0x45, 0x67, 0x89, 0xab]);
    assert_eq!((id[6] >> 4, id[8] >> 6), (7, 0b10));
    assert_ne!(id, producer_id(0x0123_4567_89ab * 1000));
    assert_ne!(claim(), claim());
}

#[test]
fn jitter_stays_between_half_and_whole() {
    let whole = Duration::from_secs(8);
    for _ in 0..1000 {
        let jittered = jitter(whole);
        assert!(jittered >= whole / 2 && jittered <= whole, "{jittered:?}");
    }
}
