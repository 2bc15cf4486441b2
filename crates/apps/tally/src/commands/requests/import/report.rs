//! What `tally import` prints at the end.

use std::time::Duration;

use tally_runtime::chain;

use super::ImportArgs;
use super::input::Input;
use super::send::{Outcome, Place, Stop};
use crate::client::SERVER_DEFAULT;
use crate::output::{plural, shell_word, thousands, visible};

pub(super) struct Report<'a> {
    pub(super) args: &'a ImportArgs,
    pub(super) inputs: &'a [Input],
    pub(super) outcome: &'a Outcome,
}

// === impl Report ===

impl Report<'_> {
    pub(super) fn lines(&self, elapsed: Duration) -> Vec<String> {
        let mut lines = vec![self.summary(elapsed)];
        let counts = &self.outcome.counts;
        for reason in &counts.reasons {
            let place = self.place(Place { input: reason.input, line: reason.line });
            let why = reason.why.to_string();
            let more = match reason.count {
                1 => String::new(),
                count => format!(" ({} like this)", plural(count, "line")),
            };
            lines.push(format!("  {place}: {}{more}", visible(&why)));
        }
        if self.outcome.passes_malformed && self.args.malformed.is_none() {
            lines.push(
                "  no import comes back to these: run this one with --dry-run --malformed FILE, which \
                 saves them, and import FILE"
                    .to_owned(),
            );
        }
        if let Some((input, line)) = counts.torn {
            lines.push(if self.has_position(input) {
                format!(
                    "  {}: the last line has no end, and is left for an import after it has one",
                    self.place(Place { input, line })
                )
            } else {
                format!(
                    "  the last line has no end; if it is still being written, go on later with: {}",
                    self.go_on(Place { input, line })
                )
            });
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
                "error: {requests} sent, but it is not known whether they are counted: the server no \
                 longer knew this import, or its database went back"
            ));
        }
        lines.extend(self.outcome.lost().map(|lost| format!("error: {lost}")));
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
            Some(Stop::Stopped(stop)) => lines.push(match stop {
                tally_client::Stop::TakenOver => {
                    "error: another import of the same file has begun, and goes on from here"
                        .to_owned()
                }
                stop => format!("error: the import stopped: {stop}; run it again to go on"),
            }),
        }
        lines
    }

    /// Whether there were lines, and all were malformed. Not if this import only read on: one bad line
    /// at the end of a good log says nothing about the log.
    pub(super) fn nothing_understood(&self) -> bool {
        let Outcome { counts, reads_on, .. } = self.outcome;
        !reads_on && counts.malformed > 0 && counts.malformed + counts.blank == counts.lines
    }

    fn summary(&self, elapsed: Duration) -> String {
        let counts = &self.outcome.counts;
        let counted = self.outcome.counted;
        let seconds = elapsed.as_secs_f64();
        let rate = (counted as f64 / seconds.max(0.001)) as u64;
        let left_out = match counts.left_out {
            0 => String::new(),
            count => format!(", {} left out", thousands(count)),
        };
        let count = if self.args.dry_run { "would count" } else { "counted" };
        let has_positions = (0..self.inputs.len()).any(|input| self.has_position(input));
        let is_unknown = self.args.dry_run && !self.args.again && has_positions;
        let unless = if is_unknown { " if nothing of it was counted before" } else { "" };
        format!(
            "{}, {}: {count} {}{unless}, {} malformed, {} blank{left_out}; {seconds:.1} s, {} a second",
            plural(self.inputs.len() as u64, "file"),
            plural(counts.lines, "line"),
            plural(counted, "request"),
            thousands(counts.malformed),
            thousands(counts.blank),
            thousands(rate),
        )
    }

    fn interrupted(&self) -> String {
        match self.outcome.through.zip(self.after_through()) {
            Some((through, next)) => {
                format!(
                    "interrupted after {}; go on with: {}",
                    self.place(through),
                    self.go_on(next)
                )
            }
            None => "interrupted before anything was read".to_owned(),
        }
    }

    fn gave_up(&self, maybe: u64, next: Option<Place>) -> Vec<String> {
        let counted = self.outcome.counted;
        let requests = plural(counted, "request");
        let Some(next) = next.or_else(|| self.after_through()) else {
            return vec![format!("counted {requests}")];
        };
        let upto = match self.outcome.through {
            Some(through) => format!("lines up to {} are counted", self.place(through)),
            None => "no line is known to be counted".to_owned(),
        };
        if maybe > 0 && self.has_position(next.input) {
            let (least, most) = (thousands(counted), thousands(counted + maybe));
            return vec![
                format!("between {least} and {most} requests counted"),
                format!("go on, without counting any twice, with: {}", self.go_on(next)),
            ];
        }
        if maybe > 0 {
            let (least, most) = (thousands(counted), thousands(counted + maybe));
            let (risk, go_on) = (plural(maybe, "request"), self.go_on(next));
            return vec![
                format!("between {least} and {most} requests counted; {upto}"),
                format!("to go on, at the risk of counting up to {risk} twice: {go_on}"),
            ];
        }
        vec![format!("counted {requests}; {upto}"), format!("go on with: {}", self.go_on(next))]
    }

    fn after_through(&self) -> Option<Place> {
        self.outcome.through.map(|through| Place { line: through.line + 1, ..through })
    }

    fn place(&self, place: Place) -> String {
        format!("{}:{}", self.inputs[place.input], place.line)
    }

    /// Whether the server keeps a position of an input.
    fn has_position(&self, input: usize) -> bool {
        self.inputs[input].bytes().is_some()
    }

    /// The command that goes on from a place.
    fn go_on(&self, place: Place) -> String {
        let mut words = vec!["tally".to_owned(), "import".to_owned()];
        let args = self.args;
        if args.server.server != SERVER_DEFAULT {
            words.extend(["--server".to_owned(), shell_word(&args.server.server)]);
        }
        for (flag, value) in args.flags() {
            words.push(flag.to_owned());
            words.extend(value.map(|value| shell_word(&value)));
        }
        if !self.has_position(place.input) {
            words.push(format!("--from-line {}", place.line));
        }
        words.extend(self.inputs[place.input..].iter().map(|input| match input {
            Input::Stdin => "-".to_owned(),
            Input::File(path) => shell_word(&path.to_string_lossy()),
        }));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::commands::requests::import::counts::{LineCounts, Reasoned};
    use crate::commands::requests::import::parse::Malformed;
    use crate::commands::requests::import::parse::time::BadTime;

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
    fn a_summary_groups_malformed_lines_by_reason() {
        let reasons = vec![
            Reasoned {
                count: 1_200,
                input: 1,
                line: 7,
                why: Malformed::time(b"02/Okt", BadTime::Month),
            },
            Reasoned { count: 1, input: 0, line: 9, why: Malformed::LineTooLong },
        ];
        let torn = Some((1, 400));
        let counts =
            LineCounts { lines: 2_203, blank: 1, left_out: 1, malformed: 1_201, reasons, torn };
        let outcome = Outcome { counted: 1_000, counts, ..Outcome::default() };
        assert_eq!(
            report(&outcome, &[]),
            "2 files, 2,203 lines: counted 1,000 requests, 1,201 malformed, 1 blank, 1 left out; \
             2.0 s, 500 a second\n  it's.log:7: the time \"02/Okt\": its month is none of Jan, Feb, \
             Mar, Apr, May, Jun, Jul, Aug, Sep, Oct, Nov, Dec (1,200 lines like this)\n  a.log:9: \
             the line has more than 256 KiB\n  the last line has no end; if it is still being \
             written, go on later with: tally import --from-line 400 'it'\\''s.log'"
        );
    }

    #[test]
    fn what_goes_on_counts_in_the_same_way() {
        let flags = [
            "--format",
            "$request [$time_local]",
            "--tz",
            "-03:30",
            "--where",
            "a!=b c",
            "--path-prefix",
            "/api",
            "--rewrite",
            "x=y z",
            "--malformed",
            "bad lines",
            "--keep-query",
            "--collapse-ids",
            "--again",
            "--strict",
        ];
        let outcome = Outcome {
            through: Some(Place { input: 0, line: 1 }),
            stop: Some(Stop::Interrupted),
            ..Outcome::default()
        };
        let text = report(&outcome, &flags);
        let words = "tally import --format '$request [$time_local]' --tz -03:30 --where 'a!=b c' \
                     --path-prefix /api --rewrite 'x=y z' --malformed 'bad lines' --keep-query \
                     --collapse-ids --again --strict --from-line 2 a.log";
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn a_file_of_another_kind_is_an_error() {
        let counts = LineCounts { lines: 3, blank: 1, malformed: 2, ..LineCounts::default() };
        let outcome = Outcome { counts, ..Outcome::default() };
        assert!(report(&outcome, &[]).contains("error: no line was understood"));
        let outcome = Outcome { reads_on: true, ..outcome };
        assert!(!report(&outcome, &[]).contains("error"), "the lines before were good");
        let counts = LineCounts { lines: 3, left_out: 1, malformed: 2, ..LineCounts::default() };
        let outcome = Outcome { counts, ..Outcome::default() };
        assert!(!report(&outcome, &[]).contains("error"), "what is left out is understood");
    }

    #[test]
    fn malformed_lines_that_no_import_comes_back_to_can_be_saved() {
        let outcome = Outcome { counted: 1, passes_malformed: true, ..Outcome::default() };
        let words = "no import comes back to these: run this one with --dry-run --malformed FILE";
        assert!(report(&outcome, &[]).contains(words));
        assert!(!report(&outcome, &["--malformed", "bad"]).contains(words), "they are saved");
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

    /// The server knows where to go on with a file.
    #[test]
    fn a_file_goes_on_by_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.log");
        std::fs::write(&file, "a").expect("written");
        let args = Command::try_parse_from(["import", "--again"]).expect("usage").args;
        let inputs = [Input::Stdin, Input::File(file.clone())];
        let lines = |stop| {
            let counts = LineCounts { torn: Some((1, 7)), ..LineCounts::default() };
            let through = Some(Place { input: 1, line: 6 });
            let outcome = Outcome { counted: 5, counts, through, stop, ..Outcome::default() };
            let report = Report { args: &args, inputs: &inputs, outcome: &outcome };
            report.lines(Duration::from_secs(2)).join("\n")
        };
        let file = file.display();
        let text = lines(Some(Stop::Interrupted));
        assert!(
            text.contains(&format!("{file}:7: the last line has no end, and is left")),
            "{text}"
        );
        let go_on = format!("go on with: tally import --again {file}");
        assert!(text.ends_with(&format!("interrupted after {file}:6; {go_on}")), "{text}");
        let next = Some(Place { input: 1, line: 8 });
        let text = lines(Some(Stop::GaveUp { why: "refused".to_owned(), maybe: 10, next }));
        assert!(text.contains("between 5 and 15 requests counted\n"), "{text}");
        assert!(text.ends_with(&format!("twice, with: tally import --again {file}")), "{text}");
        let text = lines(Some(Stop::Stopped(tally_client::Stop::TakenOver)));
        assert!(text.ends_with("another import of the same file has begun, and goes on from here"));
    }

    #[test]
    fn what_is_in_doubt_is_said() {
        let text = report(&Outcome { counted: 5, in_doubt: 3, ..Outcome::default() }, &[]);
        assert!(text.contains("error: 3 requests sent, but it is not known"), "{text}");
    }

    #[test]
    fn what_the_database_lost_is_said() {
        let text = report(&Outcome { counted: 5, batches_lost: 1, ..Outcome::default() }, &[]);
        assert!(text.contains("error: 1 acknowledged batch is missing: "), "{text}");
        assert!(text.contains("fewer than 5 requests of this run are counted"), "{text}");
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
