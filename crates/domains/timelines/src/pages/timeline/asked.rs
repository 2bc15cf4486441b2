//! What an address asks for: the address is the state.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use tally_serve::api::{Mistakes, Parameter, Parameters, Values};
use tally_serve::pages::Link;

use crate::pages::parts::context_link;

/// How far from its beginning a timeline may be looked at: 600 years, longer than from the first
/// time that can be told to the last one.
const SECONDS_MAX: u64 = 600 * 366 * 86_400;
/// How many folds an address may have.
const FOLDS_MAX: usize = 100;

const fn text(name: &'static str, is_repeated: bool) -> Parameter {
    Parameter { name, about: "", values: Values::Text, is_repeated }
}
const FROM: Parameter = text("from", false);
const TO: Parameter = text("to", false);
const FOLD: Parameter = text("fold", true);
const UNFOLD: Parameter = text("unfold", true);
const BY: Parameter = Parameter { values: Values::OneOf(&["name", "host"]), ..text("by", false) };
const ONLY: Parameter = Parameter { values: Values::OneOf(&["critical"]), ..text("only", false) };
const WITH: Parameter = text("with", false);
const EVENT: Parameter =
    Parameter { values: Values::Whole(1, i64::MAX as u64), ..text("event", false) };
const KNOWN: &[Parameter] = &[FROM, TO, FOLD, UNFOLD, BY, ONLY, WITH, EVENT];

/// What an address asks for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::pages) struct Asked {
    /// Which part of the time is shown, since the timeline began. None: from its beginning, to its end.
    pub(super) from: Option<SignedDuration>,
    pub(super) to: Option<SignedDuration>,
    /// Which rows are folded or unfolded, other than by themselves.
    pub(super) folded: BTreeSet<String>,
    pub(super) unfolded: BTreeSet<String>,
    pub(super) is_by_host: bool,
    /// Whether only the critical path is shown.
    pub(super) is_critical: bool,
    /// Which other timeline is beside it.
    pub(super) with: Option<String>,
    /// Of which event everything is shown.
    pub(super) event: Option<i64>,
}

// === impl Asked ===

impl Asked {
    pub(in crate::pages) fn read(query: Option<&str>) -> Result<Self, Mistakes> {
        let mut given = Parameters::of(query, KNOWN);
        let (from, to) = (given.read(&FROM, seconds), given.read(&TO, seconds));
        if to.is_some_and(|to| to <= from.unwrap_or_default()) {
            given.mistakes.note("to", "it is not after from");
        }
        let mut folds = [&FOLD, &UNFOLD]
            .map(|of| given.all(of).map(str::to_owned).collect::<BTreeSet<String>>());
        if folds.iter().any(|folds| folds.len() > FOLDS_MAX) {
            given.mistakes.note("fold", format!("an address has at most {FOLDS_MAX} of them"));
        }
        let [folded, unfolded] = std::mem::take(&mut folds);
        let asked = Self {
            from,
            to,
            folded,
            unfolded,
            is_by_host: given.one_of(&BY) == Some("host"),
            is_critical: given.one_of(&ONLY).is_some(),
            with: given.one(&WITH).map(str::to_owned),
            event: given.whole(&EVENT),
        };
        if given.mistakes.is_empty() { Ok(asked) } else { Err(given.mistakes) }
    }

    /// The address of the same, changed.
    pub(super) fn but(
        &self,
        context: &str,
        timeline: &str,
        change: impl FnOnce(&mut Self),
    ) -> Link {
        let mut asked = self.clone();
        change(&mut asked);
        let mut link = context_link(context).part(timeline);
        link = link.with_some("by", asked.is_by_host.then_some("host"));
        link = link.with_some("only", asked.is_critical.then_some("critical"));
        link = link.with_some("with", asked.with);
        link = link.with_some("from", asked.from.map(written));
        link = link.with_some("to", asked.to.map(written));
        for (name, folds) in [("fold", asked.folded), ("unfold", asked.unfolded)] {
            link = folds.iter().fold(link, |link, fold| link.with(name, fold));
        }
        link.with_some("event", asked.event.map(|number| number.to_string()))
    }

    /// Folds or unfolds a row.
    pub(super) fn turn(&mut self, key: &str, is_folded: bool) {
        let (to, from) = match is_folded {
            true => (&mut self.unfolded, &mut self.folded),
            false => (&mut self.folded, &mut self.unfolded),
        };
        // What it does by itself needs no word.
        if !from.remove(key) {
            to.insert(key.to_owned());
        }
    }
}

/// Seconds with up to nine decimals.
fn seconds(text: &str) -> Result<SignedDuration, &'static str> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|one| one.is_ascii_digit());
    let whole = is_number(whole).then(|| whole.parse::<u64>().ok()).flatten();
    let nanos = (is_number(part) && part.len() <= 9).then(|| format!("{part:0<9}").parse().ok());
    match (whole.filter(|whole| *whole <= SECONDS_MAX), nanos.flatten()) {
        (Some(whole), Some(nanos)) => Ok(SignedDuration::new(whole.cast_signed(), nanos)),
        _ => Err("write seconds since the timeline began, as in 12.5"),
    }
}

fn written(duration: SignedDuration) -> String {
    let text = format!("{}.{:09}", duration.as_secs(), duration.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever was chosen, its address leads to the same.
    #[test]
    fn an_address_is_the_state() {
        for query in [
            "",
            "by=host&only=critical",
            "from=1.5&to=12",
            "to=0.000000001",
            "with=v1%20%26&event=7",
            "fold=a.b&fold=c&unfold=x%3D%22",
        ] {
            let asked = Asked::read(Some(query)).expect(query);
            let link = asked.but("c", "newest", |_| ()).into_text();
            let query = link.split_once('?').map(|(_, query)| query);
            assert_eq!(Asked::read(query).expect("an address"), asked, "{link}");
        }
        let plain = Asked::default().but("a/b", "7", |_| ()).into_text();
        assert_eq!(plain, "/timelines/a%2Fb/7");
    }

    #[test]
    fn every_mistake_is_told() {
        let query = "from=x&to=-1&by=colour&only=some&event=0&what=1";
        let mistakes = Asked::read(Some(query)).expect_err("mistakes");
        let fields: BTreeSet<_> = mistakes.all().map(|(field, _)| field.to_owned()).collect();
        assert_eq!(fields.len(), 6, "{fields:?}");
        for query in ["from=5&to=5", "to=0", "from=99999999999", "from=1.0000000001", "from=1."] {
            assert!(Asked::read(Some(query)).is_err(), "{query}");
        }
        let many: String = (0..=FOLDS_MAX).map(|at| format!("fold={at}&")).collect();
        assert!(Asked::read(Some(&many)).is_err());
    }

    #[test]
    fn a_row_that_is_turned_twice_is_as_before() {
        let mut asked = Asked::default();
        asked.turn("a", true);
        assert!(asked.unfolded.contains("a"));
        asked.turn("a", false);
        assert_eq!(asked, Asked::default());
    }
}
