//! Times within the sendable range.

use super::*;

#[test]
fn times_before_1970_round_to_the_past() {
    let before = UNIX_EPOCH - Duration::from_nanos(1);
    assert_eq!(micros(before), Some(-1));
    assert_eq!(day(-1), -1);
    assert_eq!(micros(UNIX_EPOCH + Duration::from_nanos(1999)), Some(1));
    assert_eq!(micros(time(-86_400_000_001)), Some(-86_400_000_001));
    assert_eq!(day(-86_400_000_001), -2);
    assert_eq!(day(86_400_000_000), 1);
}

#[test]
fn what_cannot_be_sent_is_no_time() {
    assert_eq!(micros(time(*MICROS.end())), Some(*MICROS.end()));
    assert_eq!(micros(time(MICROS.end() + 1)), None);
    assert_eq!(micros(time(MICROS.start() - 1)), None);
    struct Fixed(i64);
    impl Clock for Fixed {
        fn now(&self) -> SystemTime {
            time(self.0)
        }
    }
    for (at, shows) in [(MICROS.end() + 1, *MICROS.end()), (-5, -5), (7, 7)] {
        assert_eq!(AnyClock(Some(Arc::new(Fixed(at)))).micros(), shows);
    }
}
