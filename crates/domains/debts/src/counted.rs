//! What the payments and alarms of a debt are counted under, as requests.

use jiff::Timestamp;
use tally_outbox::Count;
use tally_proto::wire::{METHOD_BYTES_MAX, SERVICE_BYTES_MAX};
use tally_runtime::Namespace;

use crate::state::{Cause, Kind, Noted};

/// The longest path. No server counts a shorter one under another name, unless it is told to.
const PATH_BYTES_MAX: usize = 2_000;

/// How a request ends: it was paid, it failed, it was overdue.
const PAID: u16 = 200;
const FAILED: u16 = 500;
const OVERDUE: u16 = 504;

/// A series of requests, without the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Series {
    service: String,
    method: String,
    path: String,
}

// === impl Series ===

impl Series {
    /// As in `GET /hello`, with a service beside it; or which field is wrong, and why.
    pub(crate) fn read(
        series: Option<&str>,
        service: Option<&str>,
    ) -> Result<Option<Self>, (&'static str, String)> {
        let service = service.unwrap_or_default();
        let Some(series) = series.filter(|series| !series.is_empty()) else {
            if service.is_empty() {
                return Ok(None);
            }
            return Err((
                "count_as",
                "it is missing: count_service is that of a series".to_owned(),
            ));
        };
        let odd = |c: char| c.is_whitespace() || c.is_control();
        let is_method = |method: &str| {
            (1..=METHOD_BYTES_MAX).contains(&method.len())
                && !method.contains(|c: char| odd(c) || c.is_lowercase())
        };
        let is_path = |path: &str| {
            path.starts_with('/') && path.len() <= PATH_BYTES_MAX && !path.contains(odd)
        };
        let parts = series.split_once(' ');
        let Some((method, path)) =
            parts.filter(|(method, path)| is_method(method) && is_path(path))
        else {
            let why = format!(
                "write a method in capitals, one blank, and a path, as in POST /backup: of at most \
                 {METHOD_BYTES_MAX} and {PATH_BYTES_MAX} bytes, without other blanks"
            );
            return Err(("count_as", why));
        };
        if service.len() > SERVICE_BYTES_MAX || service.contains(char::is_control) {
            let why = format!("it may have {SERVICE_BYTES_MAX} bytes, and no control character");
            return Err(("count_service", why));
        }
        let (method, path) = (method.to_owned(), path.to_owned());
        Ok(Some(Self { service: service.to_owned(), method, path }))
    }

    /// As it is read.
    pub(crate) fn written(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The same of the service.
    pub(crate) fn written_service(&self) -> Option<String> {
        Some(self.service.clone()).filter(|service| !service.is_empty())
    }

    /// A payment, if it is a success or a failure. A success that counts as a failure is one.
    pub(crate) fn of_payment(
        &self,
        namespace: Namespace,
        kind: &Kind,
        noted: &Noted,
        at: Timestamp,
    ) -> Option<Count> {
        let status = match kind {
            Kind::Success if noted.over_rate || noted.too_short => FAILED,
            Kind::Success => PAID,
            Kind::Fail => FAILED,
            _ => return None,
        };
        Some(self.count(namespace, status, at))
    }

    /// An alarm, if nobody's payment has raised it.
    pub(crate) fn of_flip(
        &self,
        namespace: Namespace,
        cause: &Cause,
        at: Timestamp,
    ) -> Option<Count> {
        let is_overdue = match cause {
            Cause::Unpaid(_)
            | Cause::NotStarted(_)
            | Cause::TooLong(_)
            | Cause::Silent(_)
            | Cause::StageMissed { .. } => true,
            Cause::Failed
            | Cause::TooShort
            | Cause::TooOften
            | Cause::Succeeded
            | Cause::Paused => false,
        };
        is_overdue.then(|| self.count(namespace, OVERDUE, at))
    }

    fn count(&self, namespace: Namespace, status: u16, at: Timestamp) -> Count {
        let Self { service, method, path } = self.clone();
        Count { namespace, service, method, path, status, at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_a_method_a_path_and_perhaps_a_service() {
        let read = |series| Series::read(Some(series), Some("cron"));
        let series = read("POST /backup").expect("right").expect("one");
        assert_eq!(series.written(), "POST /backup");
        assert_eq!(series.written_service().as_deref(), Some("cron"));
        assert_eq!(Series::read(None, None), Ok(None));
        let long = format!("GET /{}", "x".repeat(PATH_BYTES_MAX));
        for wrong in [
            "GET",
            "/backup",
            "GET backup",
            "get /backup",
            " /a",
            "GET  /a",
            "GET /a b",
            "G\0 /a",
            &long,
        ] {
            let (field, why) = read(wrong).expect_err(wrong);
            assert!(field == "count_as" && why.contains("as in POST /backup"), "{wrong:?}: {why}");
        }
        let alone = Series::read(None, Some("cron")).expect_err("no series");
        assert_eq!(alone.0, "count_as");
        let long = "x".repeat(SERVICE_BYTES_MAX + 1);
        let wrong = Series::read(Some("GET /a"), Some(&long)).expect_err("too long");
        assert_eq!(wrong.0, "count_service");
    }
}
