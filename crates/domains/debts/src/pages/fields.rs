//! The fields of the form, and what is read from them.

use std::collections::BTreeMap;

use tally_serve::api::{Parameter, Parameters, Values};

use crate::definition::{Definition, Written, WrittenStage, Wrong};

/// How a field is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Line,
    /// A whole number.
    Number,
    /// Several lines.
    Area,
}

/// A field: its name is that of the definition in JSON.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) help: &'static str,
    pub(super) shape: Shape,
}

const fn field(name: &'static str, label: &'static str, help: &'static str) -> Field {
    Field { name, label, help, shape: Shape::Line }
}

const fn shaped(shape: Shape, field: Field) -> Field {
    Field { shape, ..field }
}

/// What it is called.
pub(super) const NAMES: &[Field] = &[
    field("slug", "Slug", "What URLs and commands call it: a-z, 0-9, - and _"),
    field("name", "Name", "What people call it, if that is something else"),
    field("tags", "Tags", "Words to find it by, with blanks between them"),
    shaped(
        Shape::Area,
        field("description", "Description", "What it is about, and what to do when it is down"),
    ),
];
/// When something is due: one of these, or none.
pub(super) const SCHEDULE: &[Field] = &[
    field("every", "Every", "So long after the last payment, as in 1h30m"),
    field("cron", "Or by a cron expression", "As in 0 3 * * *"),
    field(
        "time_zone",
        "The time zone of the cron expression",
        "As in Europe/Berlin; UTC if there is none",
    ),
    field("deadline", "Or once, by", "A moment, as in 2030-01-31T12:00:00Z"),
    field("grace", "Grace", "How long after it is due a payment may come, as in 15m"),
];
/// What most debts do without.
pub(super) const LIMITS: &[Field] = &[
    field("start_limit", "Start limit", "How long after it is due a run must have begun"),
    field("run_limit", "Run limit", "How long a run may take"),
    field("heartbeat_limit", "Heartbeat limit", "How long a run may be silent"),
    field("run_min", "Shortest run", "A success after a shorter one is a failure"),
    field(
        "early_window",
        "Early window",
        "How long before a time of the cron expression a payment meets it",
    ),
    shaped(
        Shape::Number,
        field("rate_payments", "Most payments", "More of them in a period are failures"),
    ),
    field("rate_period", "in a period of", "As in 1h"),
    shaped(
        Shape::Number,
        field("failures_to_alarm", "Failures to an alarm", "How many in a row; 1 if it is empty"),
    ),
    shaped(
        Shape::Number,
        field(
            "successes_to_recover",
            "Successes to a recovery",
            "How many in a row; 1 if it is empty",
        ),
    ),
    shaped(
        Shape::Area,
        field(
            "stages",
            "Stages",
            "One on each line, as in upload=10m: a run must have come to it so long after its start",
        ),
    ),
];
/// Who is told, and where it counts.
pub(super) const NOTIFY: &[Field] = &[
    shaped(
        Shape::Area,
        field(
            "notify",
            "Who is told of alarms and recoveries",
            "A URL or mailto: and an address on each line; --webhooks-allow or --smtp-allow of the server must name it",
        ),
    ),
    field(
        "count_as",
        "Count as requests of",
        "A method and a path, as in POST /backup: status 200 if it was paid, 500 if it failed, 504 if it was overdue",
    ),
    field("count_service", "of the service", "If that series has one"),
];

const fn text(name: &'static str) -> Parameter {
    Parameter { name, about: "", values: Values::Text, is_repeated: false }
}

const KNOWN: &[Parameter] = &[
    text("slug"),
    text("name"),
    text("tags"),
    text("description"),
    text("every"),
    text("cron"),
    text("time_zone"),
    text("deadline"),
    text("grace"),
    text("start_limit"),
    text("run_limit"),
    text("heartbeat_limit"),
    text("run_min"),
    text("early_window"),
    text("rate_payments"),
    text("rate_period"),
    text("failures_to_alarm"),
    text("successes_to_recover"),
    text("stages"),
    text("notify"),
    text("count_as"),
    text("count_service"),
];

/// What the fields have in them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Filled(BTreeMap<&'static str, String>);

// === impl Filled ===

impl Filled {
    /// As a browser sends it; and what cannot be read.
    pub(super) fn read(body: &str) -> (Self, Wrong) {
        let given = Parameters::of(Some(body), KNOWN);
        let text = |of: &Parameter| given.one(of).map(|text| (of.name, text.replace("\r\n", "\n")));
        let filled = Self(KNOWN.iter().filter_map(text).collect());
        let wrong = given.mistakes.all().map(|(field, why)| (field.to_owned(), why.to_owned()));
        (filled, wrong.collect())
    }

    /// As a definition has it.
    pub(super) fn of(definition: &Definition) -> Self {
        let written = Written { notify: definition.shown_notify(), ..definition.written() };
        let stages = written.stages.iter().map(|one| format!("{}={}", one.name, one.time_out));
        let stages: Vec<_> = stages.collect();
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let all = [
            ("slug", Some(written.slug)),
            ("name", Some(written.name)),
            ("tags", Some(written.tags.join(" "))),
            ("description", Some(written.description)),
            ("every", written.every),
            ("cron", written.cron),
            ("time_zone", written.time_zone),
            ("deadline", written.deadline),
            ("grace", written.grace),
            ("start_limit", written.start_limit),
            ("run_limit", written.run_limit),
            ("heartbeat_limit", written.heartbeat_limit),
            ("run_min", written.run_min),
            ("early_window", written.early_window),
            ("rate_payments", number(written.rate_payments)),
            ("rate_period", written.rate_period),
            ("failures_to_alarm", number(written.failures_to_alarm.map(u32::from))),
            ("successes_to_recover", number(written.successes_to_recover.map(u32::from))),
            ("stages", Some(stages.join("\n"))),
            ("notify", Some(written.notify.join("\n"))),
            ("count_as", written.count_as),
            ("count_service", written.count_service),
        ];
        let some = all.into_iter().filter_map(|(name, text)| Some((name, text?)));
        Self(some.filter(|(_, text)| !text.is_empty()).collect())
    }

    pub(super) fn get(&self, field: &str) -> &str {
        self.0.get(field).map(String::as_str).unwrap_or_default()
    }

    /// The definition as programs write it; notes what is no number and no stage.
    pub(super) fn written(&self, wrong: &mut Wrong) -> Written {
        let line = |field: &str| self.get(field).trim().to_owned();
        let some = |field: &str| Some(line(field)).filter(|text| !text.is_empty());
        let lines = |field: &str| -> Vec<String> {
            let lines = self.get(field).lines().map(|one| one.trim().to_owned());
            lines.filter(|one| !one.is_empty()).collect()
        };
        let tags = self.get("tags").split(|c: char| c.is_whitespace() || c == ',');
        Written {
            slug: line("slug"),
            name: line("name"),
            tags: tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
            description: self.get("description").trim_end().to_owned(),
            every: some("every"),
            cron: some("cron"),
            time_zone: some("time_zone"),
            deadline: some("deadline"),
            early_window: some("early_window"),
            start_limit: some("start_limit"),
            grace: some("grace"),
            run_limit: some("run_limit"),
            run_min: some("run_min"),
            heartbeat_limit: some("heartbeat_limit"),
            rate_payments: number("rate_payments", some("rate_payments"), wrong),
            rate_period: some("rate_period"),
            failures_to_alarm: number("failures_to_alarm", some("failures_to_alarm"), wrong),
            successes_to_recover: number(
                "successes_to_recover",
                some("successes_to_recover"),
                wrong,
            ),
            stages: lines("stages").iter().filter_map(|line| stage(line, wrong)).collect(),
            notify: lines("notify"),
            count_as: some("count_as"),
            count_service: some("count_service"),
        }
    }
}

fn number<T: std::str::FromStr>(field: &str, text: Option<String>, wrong: &mut Wrong) -> Option<T> {
    let read = text?.parse();
    if read.is_err() {
        wrong.push((field.to_owned(), "it is no whole number, or too large".to_owned()));
    }
    read.ok()
}

fn stage(line: &str, wrong: &mut Wrong) -> Option<WrittenStage> {
    let stage = line.rsplit_once('=').map(|(name, time_out)| WrittenStage {
        name: name.trim().to_owned(),
        time_out: time_out.trim().to_owned(),
    });
    if stage.is_none() {
        let why = "a line has no = in it: write NAME=TIME, as in upload=10m";
        wrong.push(("stages".to_owned(), why.to_owned()));
    }
    stage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_known_and_what_is_shown_is_read_again() {
        let fields = [NAMES, SCHEDULE, LIMITS, NOTIFY].into_iter().flatten();
        assert!(fields.map(|field| field.name).eq(KNOWN.iter().map(|one| one.name)));
        let (filled, wrong) = Filled::read(
            "slug=a&name=A+%3Cb%3E&tags=x+y&description=1%0D%0A2&cron=0+3+*+*+*&time_zone=Europe/Berlin\
             &grace=90m&run_limit=2h&run_min=1s&rate_payments=5&rate_period=1h&failures_to_alarm=3\
             &stages=one=1%3D1m%0D%0Atwo%3D2m&notify=https://a.example%0A&count_as=POST+/backup&count_service=cron",
        );
        assert_eq!(wrong, []);
        let mut wrong = Vec::new();
        let written = filled.written(&mut wrong);
        let definition = written.clone().check(None).expect("it is right");
        assert_eq!(definition.description, "1\n2");
        assert_eq!(definition.terms.stages[0].name, "one=1");
        assert_eq!(Filled::of(&definition).written(&mut wrong), written);
        assert_eq!(wrong, []);
    }

    #[test]
    fn what_cannot_be_read_is_told_of_its_field() {
        let (filled, unread) = Filled::read("slug=a%FF&rate_payments=x&stages=upload&more=1");
        let fields: Vec<_> = unread.iter().map(|(field, _)| &**field).collect();
        assert_eq!(fields, ["slug", "more"]);
        let mut wrong = Vec::new();
        filled.written(&mut wrong);
        let fields: Vec<_> = wrong.iter().map(|(field, _)| &**field).collect();
        assert_eq!(fields, ["rate_payments", "stages"]);
    }
}
