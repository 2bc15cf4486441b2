//! What `tally import` says at its end.

use std::time::Duration;

use tally_runtime::chain;

use super::ImportArgs;
use crate::client::SERVER_DEFAULT;
use crate::import::LogFormat;
use crate::import::input::Input;
use crate::import::send::{Outcome, Place, Stop};
use crate::output::{plural, thousands, visible};

pub(super) struct Report<'a> {
    pub(super) args: &'a ImportArgs,
    pub(super) inputs: &'a [Input],
    pub(super) outcome: &'a Outcome,
}

// === impl Report ===

impl Report<'_> {
    /// The lines to say, in order.
    pub(super) fn lines(&self, elapsed: Duration) -> Vec<String> {
        let mut lines = vec![self.summary(elapsed)];
        let counts = &self.outcome.counts;
        for (input, line, reason) in &counts.examples {
            let place = Place { input: *input, line: *line };
            lines.push(format!("  {}: {reason}", self.place(place)));
        }
        let more = counts.malformed.saturating_sub(counts.examples.len() as u64);
        if more > 0 {
            lines.push(format!("  and {} more", thousands(more)));
        }
        if self.nothing_understood() {
            lines.push(
                "error: no line was understood; `tally import --help` says what is read".to_owned(),
            );
        }
        if self.outcome.rejected > 0 {
            let requests = plural(self.outcome.rejected, "request");
            let why = self.outcome.rejected_why.as_deref().unwrap_or("it did not say why");
            lines.push(format!("error: {requests} refused, and not counted: {}", visible(why)));
        }
        if self.outcome.in_doubt > 0 {
            let requests = plural(self.outcome.in_doubt, "request");
            lines.push(format!(
                "error: {requests} sent, and it is not known whether they are counted: the server \
                 did not know this import any more, or its database went back"
            ));
        }
        for failure in &self.outcome.failures {
            lines.push(format!("error: {}", chain(failure)));
        }
        match &self.outcome.stop {
            None => {}
            Some(Stop::Interrupted) => lines.push(self.interrupted()),
            Some(Stop::GaveUp { why, maybe, next }) => {
                lines.push(format!("error: the import stopped: {}", visible(why)));
                lines.extend(self.gave_up(*maybe, *next));
            }
        }
        lines
    }

    /// Whether there were lines, and each was malformed.
    pub(super) fn nothing_understood(&self) -> bool {
        let counts = &self.outcome.counts;
        counts.malformed > 0 && counts.malformed + counts.blank == counts.lines
    }

    fn summary(&self, elapsed: Duration) -> String {
        let counts = &self.outcome.counts;
        let counted = self.outcome.counted;
        let seconds = elapsed.as_secs_f64();
        let rate = (counted as f64 / seconds.max(0.001)) as u64;
        format!(
            "{}, {}: counted {}, {} malformed, {} blank; {seconds:.1} s, {} a second",
            plural(self.inputs.len() as u64, "file"),
            plural(counts.lines, "line"),
            plural(counted, "request"),
            thousands(counts.malformed),
            thousands(counts.blank),
            thousands(rate),
        )
    }

    fn interrupted(&self) -> String {
        match self.outcome.through {
            Some(through) => {
                let next = Place { line: through.line + 1, ..through };
                let place = self.place(through);
                format!("interrupted after {place}; go on with: {}", self.go_on(next))
            }
            None => "interrupted before anything was read".to_owned(),
        }
    }

    fn gave_up(&self, maybe: u64, next: Option<Place>) -> Vec<String> {
        let counted = self.outcome.counted;
        let mut lines = Vec::new();
        let Some(next) = next.or_else(|| self.after_through()) else {
            lines.push(format!("counted {}", plural(counted, "request")));
            return lines;
        };
        let upto = match self.outcome.through {
            Some(through) => format!("lines up to {} are counted", self.place(through)),
            None => "no line is known to be counted".to_owned(),
        };
        if maybe > 0 {
            let most = thousands(counted + maybe);
            lines.push(format!(
                "between {} and {most} requests counted; {upto}",
                thousands(counted)
            ));
            lines.push(format!(
                "to go on, at the risk of counting up to {} twice: {}",
                plural(maybe, "request"),
                self.go_on(next)
            ));
        } else {
            lines.push(format!("counted {}; {upto}", plural(counted, "request")));
            lines.push(format!("go on with: {}", self.go_on(next)));
        }
        lines
    }

    fn after_through(&self) -> Option<Place> {
        self.outcome.through.map(|through| Place { line: through.line + 1, ..through })
    }

    fn place(&self, place: Place) -> String {
        format!("{}:{}", self.inputs[place.input], place.line)
    }

    /// The command that imports from a place on.
    fn go_on(&self, place: Place) -> String {
        let mut words = vec!["tally".to_owned(), "import".to_owned()];
        let args = self.args;
        if args.server.server != SERVER_DEFAULT {
            words.extend(["--server".to_owned(), quoted(&args.server.server)]);
        }
        match args.format {
            LogFormat::Auto => {}
            LogFormat::Clf => words.push("--format clf".to_owned()),
            LogFormat::Json => words.push("--format json".to_owned()),
        }
        let fields = [
            ("--method-field", &args.method_field),
            ("--path-field", &args.path_field),
            ("--time-field", &args.time_field),
        ];
        for (flag, name) in fields {
            words.extend(name.as_ref().map(|name| format!("{flag} {}", quoted(name))));
        }
        if args.keep_query {
            words.push("--keep-query".to_owned());
        }
        if args.strict {
            words.push("--strict".to_owned());
        }
        words.push(format!("--from-line {}", place.line));
        words.extend(self.inputs[place.input..].iter().map(|input| match input {
            Input::Stdin => "-".to_owned(),
            Input::File(path) => quoted(&path.to_string_lossy()),
        }));
        words.join(" ")
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@%+=,".contains(&byte);
    let word = visible(word);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::import::Malformed;
    use crate::import::feed::LineCounts;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: ImportArgs,
    }

    fn report(outcome: &Outcome, flags: &[&str]) -> String {
        let words = ["import"].into_iter().chain(flags.iter().copied());
        let args = Command::try_parse_from(words.chain(["a.log", "it's.log"])).expect("usage").args;
        let inputs: Vec<_> = args.files.iter().cloned().map(Input::File).collect();
        let report = Report { args: &args, inputs: &inputs, outcome };
        report.lines(Duration::from_secs(2)).join("\n")
    }

    fn gave_up(maybe: u64) -> Option<Stop> {
        let next = Some(Place { input: 0, line: 8 });
        Some(Stop::GaveUp { why: "connection refused".to_owned(), maybe, next })
    }

    #[test]
    fn a_summary_names_the_first_malformed_lines() {
        let examples = vec![(1, 7, Malformed::NoTime)];
        let counts = LineCounts { lines: 1_003, blank: 1, malformed: 2, examples };
        let outcome = Outcome { counted: 1_000, counts, ..Outcome::default() };
        assert_eq!(
            report(&outcome, &[]),
            "2 files, 1,003 lines: counted 1,000 requests, 2 malformed, 1 blank; 2.0 s, \
             500 a second\n  it's.log:7: no time in brackets, as in [17/May/2015:10:05:03 +0000]\n  \
             and 1 more"
        );
    }

    #[test]
    fn a_file_of_another_kind_is_an_error() {
        let counts = LineCounts { lines: 3, blank: 1, malformed: 2, ..LineCounts::default() };
        let outcome = Outcome { counts, ..Outcome::default() };
        assert!(report(&outcome, &[]).contains("error: no line was understood"));
    }

    #[test]
    fn an_interruption_says_how_to_go_on() {
        let through = Some(Place { input: 1, line: 5_000 });
        let outcome = Outcome { through, stop: Some(Stop::Interrupted), ..Outcome::default() };
        let text =
            report(&outcome, &["--keep-query", "--path-field", "a b", "--server", "http://h"]);
        let expected = "interrupted after it's.log:5000; go on with: tally import --server \
                        http://h --path-field 'a b' --keep-query --from-line 5001 'it'\\''s.log'";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn giving_up_says_what_is_known() {
        let through = Some(Place { input: 0, line: 6 });
        let outcome =
            |maybe| Outcome { counted: 5, through, stop: gave_up(maybe), ..Outcome::default() };
        let text = report(&outcome(0), &[]);
        assert!(text.contains("error: the import stopped: connection refused"), "{text}");
        assert!(text.contains("counted 5 requests; lines up to a.log:6 are counted"), "{text}");
        assert!(text.contains("go on with: tally import --from-line 8 a.log 'it"), "{text}");
        let text = report(&outcome(10), &[]);
        assert!(text.contains("between 5 and 15 requests counted"), "{text}");
        assert!(text.contains("counting up to 10 requests twice"), "{text}");
    }

    #[test]
    fn what_is_in_doubt_is_said() {
        let text = report(&Outcome { counted: 5, in_doubt: 3, ..Outcome::default() }, &[]);
        assert!(text.contains("error: 3 requests sent, and it is not known"), "{text}");
    }

    #[test]
    fn what_the_server_refused_is_said() {
        let rejected_why = Some("path is too long".to_owned());
        let outcome = Outcome { counted: 5, rejected: 2, rejected_why, ..Outcome::default() };
        let text = report(&outcome, &[]);
        let words = "error: 2 requests refused, and not counted: path is too long";
        assert!(text.contains(words), "{text}");
    }
}
