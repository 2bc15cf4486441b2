//! Jobs of GitHub Actions, as `GET /repos/OWNER/REPO/actions/runs/RUN/jobs` has them.
//!
//! | there | here |
//! |---|---|
//! | `workflow_name` | the context, unless one is given |
//! | `run_id`, and from the second one on `run_attempt` | the label of the timeline: `7012`, `7012-2` |
//! | a job | an event whose span is its id: from `created_at` on it waits, from `started_at` on it works |
//! | the same time of a job that has steps | an event below its job, `Wait for a runner` |
//! | a step | an event below its job, whose span is the job's id and its number |
//! | `conclusion` | ok, failed, or skipped; what it says is an attribute, unless it is `success` |
//! | a dot in a name | `․`, because a dot would be a level |
//!
//! Pages of an answer may follow each other, or be in an array. Jobs may be in any order.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tally_proto::tally::timelines::v1 as proto;

use super::super::tell::moment;

/// What a job does before its first step.
const WAIT: &str = "Wait for a runner";

/// What is read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) messages: Vec<proto::RecordRequest>,
    pub(super) jobs: u32,
    /// What is wrong with some of it.
    pub(super) wrong: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Job {
    id: u64,
    run_id: u64,
    #[serde(default)]
    run_attempt: Option<u64>,
    #[serde(default)]
    workflow_name: Option<String>,
    name: String,
    #[serde(default)]
    conclusion: Option<String>,
    #[serde(default, deserialize_with = "time")]
    created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    started_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    completed_at: Option<Timestamp>,
    #[serde(default)]
    runner_name: Option<String>,
    #[serde(default)]
    head_branch: Option<String>,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    steps: Option<Vec<Step>>,
}

#[derive(Debug, Deserialize)]
struct Step {
    number: u64,
    name: String,
    #[serde(default)]
    conclusion: Option<String>,
    #[serde(default, deserialize_with = "time")]
    started_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    completed_at: Option<Timestamp>,
}

/// An event, before it is messages.
struct Told<'a> {
    base: proto::RecordRequest,
    started: Option<Timestamp>,
    completed: Option<Timestamp>,
    conclusion: Option<&'a str>,
}

/// Reads what GitHub answers.
pub(super) fn read(text: &[u8], context: Option<&str>) -> Result<Read, String> {
    let mut read = Read::default();
    for document in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
        let document = document.map_err(|error| error.to_string())?;
        let pages = match document {
            Value::Array(pages) => pages,
            page => vec![page],
        };
        for page in pages {
            let jobs = match page {
                Value::Object(mut page) if page.contains_key("jobs") => page.remove("jobs"),
                job => Some(Value::Array(vec![job])),
            };
            let Some(Value::Array(jobs)) = jobs else { return Err("jobs is no list".to_owned()) };
            jobs.into_iter().for_each(|job| read.job(job, context));
        }
    }
    if read.jobs == 0 && read.wrong.is_empty() && text.trim_ascii().is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(read)
}

// === impl Read ===

impl Read {
    fn job(&mut self, job: Value, context: Option<&str>) {
        let place = format!("job {}", self.jobs + 1);
        self.jobs += 1;
        let job: Job = match serde_json::from_value(job) {
            Ok(job) => job,
            Err(why) => return self.wrong.push(format!("{place}: {why}")),
        };
        let Some(context) =
            context.or(job.workflow_name.as_deref()).filter(|name| !name.is_empty())
        else {
            return self.wrong.push(format!("{place}: it names no workflow: say --context"));
        };
        let Some(begun) = job.created_at.or(job.started_at) else {
            return self.wrong.push(format!("{place}: it has neither created_at nor started_at"));
        };
        let timeline = match job.run_attempt {
            Some(attempt @ 2..) => format!("{}-{attempt}", job.run_id),
            _ => job.run_id.to_string(),
        };
        let base = proto::RecordRequest {
            context: context.to_owned(),
            timeline,
            name: part(&job.name),
            span: job.id.to_string(),
            ..Default::default()
        };
        let said = [("branch", &job.head_branch), ("url", &job.html_url)];
        let said = said.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let mut start = proto::RecordRequest { kind: proto::Kind::Start.into(), ..base.clone() };
        start.time = Some(moment(begun));
        start.attributes = said.map(|(name, value)| (name.to_owned(), value.clone())).collect();
        if job.created_at.is_some() {
            start.phase = proto::Phase::Waiting.into();
        }
        self.messages.push(start);
        if let Some(started) = job.started_at.filter(|_| job.created_at.is_some()) {
            self.messages.push(proto::RecordRequest {
                kind: proto::Kind::Phase.into(),
                phase: proto::Phase::Working.into(),
                time: Some(moment(started)),
                ..base.clone()
            });
        }
        let conclusion = job.conclusion.as_deref();
        if let Some(completed) = job.completed_at {
            let mut end = end(&base, completed, conclusion);
            let runner = job.runner_name.filter(|name| !name.is_empty());
            end.attributes.extend(runner.map(|name| ("runner".to_owned(), name)));
            self.messages.push(end);
        }
        let steps = job.steps.unwrap_or_default();
        if let Some(created) = job.created_at.filter(|_| !steps.is_empty()) {
            self.wait(&base, created, job.started_at);
        }
        for step in steps {
            let base = proto::RecordRequest {
                name: format!("{}.{}", base.name, part(&step.name)),
                span: format!("{}.{}", base.span, step.number),
                ..base.clone()
            };
            self.step(&Told {
                base,
                started: step.started_at,
                completed: step.completed_at,
                conclusion: step.conclusion.as_deref(),
            });
        }
    }

    /// Totals are of what has nothing below it: a job that has steps waits in an event of its own.
    fn wait(&mut self, job: &proto::RecordRequest, from: Timestamp, until: Option<Timestamp>) {
        let base = proto::RecordRequest {
            name: format!("{}.{WAIT}", job.name),
            span: format!("{}.0", job.span),
            ..job.clone()
        };
        self.messages.push(proto::RecordRequest {
            kind: proto::Kind::Start.into(),
            phase: proto::Phase::Waiting.into(),
            time: Some(moment(from)),
            ..base.clone()
        });
        self.messages.extend(until.map(|until| end(&base, until, None)));
    }

    /// A step that has neither a start nor an end has not begun.
    fn step(&mut self, told: &Told<'_>) {
        let Some(started) = told.started.or(told.completed) else { return };
        self.messages.push(proto::RecordRequest {
            kind: proto::Kind::Start.into(),
            time: Some(moment(started)),
            ..told.base.clone()
        });
        if let Some(completed) = told.completed {
            self.messages.push(end(&told.base, completed, told.conclusion));
        }
    }
}

fn end(
    base: &proto::RecordRequest,
    at: Timestamp,
    conclusion: Option<&str>,
) -> proto::RecordRequest {
    let status = match conclusion {
        Some("skipped") => proto::Status::Skipped,
        None | Some("success" | "neutral") => proto::Status::Unspecified,
        Some(_) => proto::Status::Failed,
    };
    let said = conclusion.filter(|conclusion| *conclusion != "success");
    proto::RecordRequest {
        kind: proto::Kind::End.into(),
        time: Some(moment(at)),
        status: status.into(),
        attributes: said
            .map(|said| ("conclusion".to_owned(), said.to_owned()))
            .into_iter()
            .collect(),
        ..base.clone()
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// A name as one part of a name.
fn part(name: &str) -> String {
    let of = |one: char| match one {
        '.' => '\u{2024}',
        one if one.is_control() => ' ',
        one => one,
    };
    if name.is_empty() { "unnamed".to_owned() } else { name.chars().map(of).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOBS: &str = r#"{"total_count": 3, "jobs": [
        {"id": 31, "run_id": 7012, "run_attempt": 1, "workflow_name": "CI", "name": "build (ubuntu-22.04)",
         "status": "completed", "conclusion": "failure", "created_at": "2030-01-01T10:00:00Z",
         "started_at": "2030-01-01T10:00:20Z", "completed_at": "2030-01-01T10:03:00Z",
         "runner_name": "runner-1", "head_branch": "main", "labels": ["ubuntu-22.04"],
         "steps": [
           {"number": 1, "name": "Set up job", "status": "completed", "conclusion": "success",
            "started_at": "2030-01-01T10:00:20Z", "completed_at": "2030-01-01T10:00:22Z"},
           {"number": 2, "name": "Run make", "status": "completed", "conclusion": "failure",
            "started_at": "2030-01-01T10:00:22Z", "completed_at": "2030-01-01T10:03:00Z"},
           {"number": 3, "name": "Later", "status": "queued", "conclusion": null,
            "started_at": null, "completed_at": null}]},
        {"id": 30, "run_id": 7012, "run_attempt": 2, "workflow_name": "CI", "name": "docs",
         "status": "completed", "conclusion": "skipped", "created_at": "2030-01-01T10:00:01Z",
         "started_at": "2030-01-01T10:00:01Z", "completed_at": "2030-01-01T10:00:00Z",
         "runner_name": null, "steps": []},
        {"id": 32, "run_id": 7012, "workflow_name": "CI", "name": "test", "status": "queued",
         "conclusion": null, "created_at": "2030-01-01T10:00:00Z", "started_at": null,
         "completed_at": null}
    ]}"#;

    fn brief(read: &Read) -> Vec<(i32, &str, &str, i64, i32)> {
        let mut brief = Vec::new();
        for one in &read.messages {
            let second = one.time.map_or(0, |time| time.seconds) - 1_893_492_000;
            brief.push((one.kind, &*one.timeline, &*one.name, second, one.status));
        }
        brief
    }

    /// open-telemetry/opentelemetry-collector-contrib#39081, cpanato/github_actions_exporter#202,
    /// asc-community/AngouriMath PR#838: waiting for a runner is no work. dash0hq/otel-cicd-action PR#74: jobs come
    /// in no order. ahrefs/ocannl#918: a skipped job ends 1 s before it starts, as it was sent.
    #[test]
    fn jobs_wait_and_work_and_their_steps_are_below_them() {
        let read = read(JOBS.as_bytes(), None).expect("jobs");
        let (start, end, phase) = (2, 3, 5);
        let job = "build (ubuntu-22\u{2024}04)";
        let set_up = format!("{job}.Set up job");
        let (make, wait) = (format!("{job}.Run make"), format!("{job}.{WAIT}"));
        let expected = [
            (start, "7012", job, 0, 0),
            (phase, "7012", job, 20, 0),
            (end, "7012", job, 180, 1),
            (start, "7012", &*wait, 0, 0),
            (end, "7012", &*wait, 20, 0),
            (start, "7012", &*set_up, 20, 0),
            (end, "7012", &*set_up, 22, 0),
            (start, "7012", &*make, 22, 0),
            (end, "7012", &*make, 180, 1),
            (start, "7012-2", "docs", 1, 0),
            (phase, "7012-2", "docs", 1, 0),
            (end, "7012-2", "docs", 0, 2),
            (start, "7012", "test", 0, 0),
        ];
        assert_eq!(brief(&read), expected);
        assert_eq!(read.messages[0].phase, i32::from(proto::Phase::Waiting));
        assert_eq!(read.messages[2].attributes["runner"], "runner-1");
        assert_eq!((read.jobs, read.wrong.len()), (3, 0));
    }

    #[test]
    fn pages_follow_each_other_or_are_in_an_array() {
        let slurped = format!("[{JOBS}, {JOBS}]");
        for text in [format!("{JOBS}{JOBS}"), format!("{JOBS}\n{JOBS}\n"), slurped] {
            assert_eq!(read(text.as_bytes(), Some("deploy")).expect("jobs").jobs, 6);
        }
        for wrong in ["", " \n", "x", "{\"jobs\": 1}", "{\"jobs\": []} ]"] {
            assert!(read(wrong.as_bytes(), None).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_job_leaves_the_others_as_they_are() {
        let jobs = r#"{"jobs": [
            {"message": "Not Found"}, 7,
            {"id": 1, "run_id": 2, "name": "a", "created_at": "2030-01-01T10:00:00Z"},
            {"id": 1, "run_id": 2, "name": "a", "workflow_name": "CI"},
            {"id": 1, "run_id": 2, "name": "", "workflow_name": "CI", "started_at": "2030-01-01T10:00:00Z"}
        ]}"#;
        let read = read(jobs.as_bytes(), None).expect("jobs");
        assert_eq!((read.jobs, read.wrong.len(), read.messages.len()), (5, 4, 1), "{read:?}");
        assert!(read.wrong[0].starts_with("job 1: missing field"), "{read:?}");
        assert!(read.wrong[2].contains("say --context"), "{read:?}");
    }
}
