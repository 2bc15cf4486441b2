//! Corrections: what people add to the total of a day and a series, or take from it, and why. They are
//! kept and shown apart; no total has them in it.

use tally_runtime::Kind;
use uuid::Uuid;

use crate::error::Error;
use crate::model::{Day, Series};
use crate::text::{AUTHOR_BYTES_MAX, check_text};

/// How long a reason may be, in bytes.
pub(crate) const REASON_BYTES_MAX: usize = 1_000;

/// How many requests one correction adds or takes at most.
pub(crate) const REQUESTS_MAX: u64 = 1_000_000_000_000_000;

/// How many requests all corrections of a namespace add and take at most, whatever their signs are. So no
/// sum of some of them is beyond 64 bits, whichever series are merged later.
const ALL_REQUESTS_MAX: u64 = 9_000 * REQUESTS_MAX;

/// How many corrections a list has at most.
pub(crate) const LISTED_MAX: usize = 10_000;

/// A correction, as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Correction {
    /// The client's own: the same one again changes nothing.
    pub(crate) id: Uuid,
    pub(crate) day: Day,
    pub(crate) series: Series,
    /// How many requests to add; below zero, to take.
    pub(crate) requests: i64,
    pub(crate) reason: String,
    pub(crate) author: String,
}

/// A correction as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Corrected {
    pub(crate) correction: Correction,
    /// In microseconds since 1970-01-01 UTC.
    pub(crate) micros: i64,
}

/// What a correction comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Balance {
    /// What was counted on the day.
    pub(crate) total: i64,
    /// The sum of its corrections, this one included.
    pub(crate) corrections: i64,
    /// Whether it was stored before.
    pub(crate) is_repeated: bool,
}

/// Checks what a person says of what is done to the books.
pub(crate) fn check_reason(reason: &str, author: &str) -> Result<(), Error> {
    if reason.trim().is_empty() {
        return Err(Error::invalid("reason: is missing: say why, for those who read it later"));
    }
    check_text("reason", reason, REASON_BYTES_MAX)?;
    check_text("author", author, AUTHOR_BYTES_MAX)
}

// === impl Correction ===

impl Correction {
    /// Checks what is wrong with it, whatever the database has.
    pub(crate) fn check(&self, today: Day) -> Result<(), Error> {
        let Self { id, day, requests, reason, author, .. } = self;
        if id.is_nil() {
            return Err(Error::invalid("id: is nil; draw a random UUID for each correction"));
        }
        if *requests == 0 {
            return Err(Error::invalid("requests: is 0, which corrects nothing"));
        }
        if requests.unsigned_abs() > REQUESTS_MAX {
            let text = format!(
                "requests: {requests} is beyond {REQUESTS_MAX}, the most of one correction"
            );
            return Err(Error::invalid(text));
        }
        check_reason(reason, author)?;
        if *day > today.plus(1) {
            return Err(Error::invalid(format!(
                "day: {day} is in the future, and no request can be"
            )));
        }
        Ok(())
    }

    /// Whether this is the same one again. What a series is called may have changed meanwhile.
    pub(crate) fn check_repeated(&self, before: (Day, i64, &str, &str)) -> Result<(), Error> {
        if before == (self.day, self.requests, &*self.reason, &*self.author) {
            return Ok(());
        }
        let text = format!("id: another correction has {}; draw a new one", self.id);
        Err(Error::Refused(Kind::AlreadyExists, text.into()))
    }

    /// Whether there is room for it, beside what all corrections add and take.
    pub(crate) fn check_room(&self, all: i64) -> Result<(), Error> {
        if all.unsigned_abs().saturating_add(self.requests.unsigned_abs()) <= ALL_REQUESTS_MAX {
            return Ok(());
        }
        let text = format!(
            "requests: all corrections together add and take {all}, and {ALL_REQUESTS_MAX} is the most"
        );
        Err(Error::Refused(Kind::ResourceExhausted, text.into()))
    }

    /// What the corrections of the day and the series come to with this one, if that leaves at least
    /// nothing.
    pub(crate) fn balance(&self, total: i64, corrections: i64) -> Result<Balance, Error> {
        let sum = i128::from(corrections) + i128::from(self.requests);
        let left = i128::from(total) + sum;
        match i64::try_from(sum) {
            Ok(sum) if (0..=i128::from(i64::MAX)).contains(&left) => {
                Ok(Balance { total, corrections: sum, is_repeated: false })
            }
            _ => {
                let beyond = match left {
                    ..0 => "and there cannot be less than 0".to_owned(),
                    _ => {
                        format!("and neither a total nor corrections can be more than {}", i64::MAX)
                    }
                };
                let text = format!(
                    "requests: {} has a total of {total} on {} and corrections of {corrections}; \
                     another {:+} would leave {left}, {beyond}",
                    self.series.path, self.day, self.requests
                );
                Err(Error::Refused(Kind::FailedPrecondition, text.into()))
            }
        }
    }
}

/// There is no such series.
pub(crate) fn unknown(series: &Series) -> Error {
    let Series { service, method, path, status, customer, .. } = series;
    let text = format!(
        "series: none has method {method:?}, path {path:?}, status {status}, service {service:?} and \
         customer {customer:?}; nothing was ever counted under it"
    );
    Error::Refused(Kind::NotFound, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correction(requests: i64) -> Correction {
        Correction {
            id: Uuid::now_v7(),
            day: Day(20_000),
            series: Series::of_endpoint(3, "/"),
            requests,
            reason: "counted twice".to_owned(),
            author: "ann".to_owned(),
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = correction(-1);
        assert!(good.check(Day(20_000)).is_ok() && good.check(Day(19_999)).is_ok());
        let said = |one: &Correction| one.check(Day(20_000)).expect_err("wrong").to_string();
        assert!(said(&correction(0)).contains("requests"));
        let most = REQUESTS_MAX.cast_signed();
        assert!(correction(most).check(Day(20_000)).is_ok());
        for beyond in [most + 1, -most - 1, i64::MIN, i64::MAX] {
            assert!(said(&correction(beyond)).contains("1000000000000000"));
        }
        assert!(said(&Correction { id: Uuid::nil(), ..correction(1) }).contains("id"));
        assert!(said(&Correction { reason: " ".into(), ..correction(1) }).contains("reason"));
        assert!(said(&Correction { reason: "x".repeat(1_001), ..correction(1) }).contains("1001"));
        assert!(said(&Correction { author: "\0".into(), ..correction(1) }).contains("NUL"));
        assert!(said(&Correction { day: Day(20_002), ..correction(1) }).contains("future"));
    }

    #[test]
    fn nothing_is_below_zero_or_beyond_64_bits() {
        let balance = |requests, total, before| correction(requests).balance(total, before);
        assert_eq!(balance(-7, 10, -3).expect("just enough").corrections, -10);
        assert!(balance(-8, 10, -3).is_err());
        assert!(balance(1, i64::MAX, 0).expect_err("too much").to_string().contains("more than 9"));
        assert!(balance(i64::MIN, i64::MAX, 0).is_err());
        assert!(balance(i64::MAX, 0, 0).is_ok());
        assert!(balance(i64::MAX, 0, 1).is_err());
        assert_eq!(balance(-1, i64::MAX, 0).expect("less").total, i64::MAX);
    }

    #[test]
    fn all_corrections_together_have_a_sum_of_64_bits() {
        let most = i64::try_from(ALL_REQUESTS_MAX).expect("64 bits");
        for one in [1, -1] {
            assert!(correction(one).check_room(most - 1).is_ok());
            assert!(correction(one).check_room(most).is_err());
        }
    }

    #[test]
    fn the_same_again_is_told_from_another_one() {
        let one = correction(5);
        assert!(one.check_repeated((one.day, 5, &one.reason, "ann")).is_ok());
        assert!(one.check_repeated((one.day, 6, &one.reason, "ann")).is_err());
    }
}
