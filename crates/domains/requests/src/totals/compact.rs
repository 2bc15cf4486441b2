//! An answer in as little memory as it can have while a slow client reads it.

use super::{Group, Totals};
use crate::periods::Label;
use crate::protobuf::{take_field, take_varint};

/// The totals of an answer, of which each takes some three bytes.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Compact {
    /// The groups, each as four texts with their lengths, the status and its class.
    groups: Vec<u8>,
    /// Where each group is.
    starts: Vec<usize>,
    /// The periods, with the number of their totals.
    periods: Vec<(Label, u32)>,
    /// Of each total, how far its group is from the one before in its period, and its count; as varints.
    totals: Vec<u8>,
}

/// How far somebody has read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// The next period.
    period: usize,
    /// How many totals of the period before it are left.
    left: u32,
    group: usize,
    at: usize,
}

/// A group, as a [`Group`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupRef<'a> {
    pub(crate) service: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) customer: &'a str,
    pub(crate) status: u16,
    pub(crate) status_class: u8,
}

/// A total, with its period and its group. A sum of all groups has none.
pub(crate) type Item<'a> = (&'a Label, Option<GroupRef<'a>>, i64);

// === impl Compact ===

impl Compact {
    /// Without corrections.
    pub(crate) fn new(totals: Totals) -> Self {
        let mut compact = Self::default();
        compact.starts.reserve_exact(totals.groups.len());
        for group in totals.groups {
            compact.starts.push(compact.groups.len());
            compact.add_group(&group);
        }
        compact.periods.reserve_exact(totals.periods.len());
        for period in totals.periods {
            let len = u32::try_from(period.counts.len()).expect("fewer totals than 2^32");
            compact.periods.push((period.label, len));
            let mut before = 0;
            for (group, count) in period.counts {
                put_varint(&mut compact.totals, u64::from(group - before));
                put_varint(&mut compact.totals, count.cast_unsigned());
                before = group;
            }
        }
        compact.groups.shrink_to_fit();
        compact.totals.shrink_to_fit();
        compact
    }

    /// How many bytes it takes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let lists = size_of_val(self.starts.as_slice()) + size_of_val(self.periods.as_slice());
        self.groups.len() + self.totals.len() + lists
    }

    /// The next total.
    pub(crate) fn next(&self, place: &mut Place) -> Option<Item<'_>> {
        let (_, count) = self.next_numbered(place)?;
        Some((&self.periods[place.period - 1].0, self.group(place.group), count))
    }

    /// The period of the next total, with its number, and how many totals are left in it.
    pub(crate) fn next_period(&self, place: &Place) -> Option<(usize, &Label, usize)> {
        if place.left > 0 {
            let at = place.period - 1;
            return Some((at, &self.periods[at].0, place.left as usize));
        }
        let rest = self.periods.iter().enumerate().skip(place.period);
        let (at, (label, len)) = rest.into_iter().find(|(_, (_, len))| *len > 0)?;
        Some((at, label, *len as usize))
    }

    /// The number of the group of the next total, and its count.
    pub(crate) fn next_numbered(&self, place: &mut Place) -> Option<(u32, i64)> {
        while place.left == 0 {
            let (_, len) = self.periods.get(place.period)?;
            *place = Place { period: place.period + 1, left: *len, group: 0, at: place.at };
        }
        let mut rest = &self.totals[place.at..];
        let delta = take_varint(&mut rest).expect(WRITTEN_HERE);
        let count = take_varint(&mut rest).expect(WRITTEN_HERE).cast_signed();
        place.left -= 1;
        place.group += usize::try_from(delta).expect(WRITTEN_HERE);
        place.at = self.totals.len() - rest.len();
        Some((u32::try_from(place.group).expect(WRITTEN_HERE), count))
    }

    fn add_group(&mut self, group: &Group) {
        for text in [&group.service, &group.method, &group.path, &group.customer] {
            put_varint(&mut self.groups, text.len() as u64);
            self.groups.extend_from_slice(text.as_bytes());
        }
        put_varint(&mut self.groups, group.status.into());
        self.groups.push(group.status_class);
    }

    pub(crate) fn group(&self, number: usize) -> Option<GroupRef<'_>> {
        let mut rest = &self.groups[*self.starts.get(number)?..];
        let mut text = || {
            let field = take_field(&mut rest).expect(WRITTEN_HERE);
            str::from_utf8(field).expect(WRITTEN_HERE)
        };
        let [service, method, path, customer] = [text(), text(), text(), text()];
        let status = take_varint(&mut rest).expect(WRITTEN_HERE);
        let status = u16::try_from(status).expect(WRITTEN_HERE);
        let status_class = *rest.first().expect(WRITTEN_HERE);
        Some(GroupRef { service, method, path, customer, status, status_class })
    }
}

const WRITTEN_HERE: &str = "it was written here";

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).expect("7 bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("7 bits"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Day, Quarter};
    use crate::totals::PeriodTotals;

    fn label(day: i32) -> Label {
        let start = Quarter::first_of(Day(day));
        Label { date: Day(day).date(), start, utc_offset_seconds: 0 }
    }

    fn group(number: u32) -> Group {
        let status = u16::try_from(number).expect("small");
        let (path, customer) = (format!("/{number}").into(), "ä".into());
        Group { path, customer, status, status_class: 4, ..Group::default() }
    }

    fn owned(of: GroupRef<'_>) -> Group {
        let GroupRef { service, method, path, customer, status, status_class } = of;
        let [service, method, path, customer] = [service, method, path, customer].map(Into::into);
        Group { service, method, path, status, status_class, customer }
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out(
            counts in prop::collection::vec(prop::collection::btree_map(0_u32..300, any::<i64>(), 0..5), 0..5),
            is_sum: bool,
        ) {
            let periods = (0..).zip(&counts).map(|(day, counts)| PeriodTotals {
                label: label(day),
                counts: counts.iter().map(|(group, count)| (*group, *count)).collect(),
                corrections: Vec::new(),
            });
            let groups = if is_sum { Vec::new() } else { (0..300).map(group).collect() };
            let totals = Totals { groups, periods: periods.collect(), ..Totals::default() };
            let compact = Compact::new(totals);
            let mut place = Place::default();
            for (day, counts) in (0..).zip(&counts) {
                for (number, count) in counts {
                    let expected = (label(day), (!is_sum).then(|| group(*number)), *count);
                    let next = compact.next(&mut place);
                    let next = next.map(|(label, group, count)| (*label, group.map(owned), count));
                    prop_assert_eq!(next, Some(expected));
                }
            }
            prop_assert_eq!(compact.next(&mut place), None);
        }
    }

    #[test]
    fn a_total_takes_few_bytes() {
        let counts: Vec<_> = (0..1_000).map(|group| (group, 1_000)).collect();
        let period = PeriodTotals { label: label(0), counts, corrections: Vec::new() };
        let totals = Totals { periods: vec![period], ..Totals::default() };
        assert!(Compact::new(totals).bytes() < 3_100);
    }
}
