//! The known JSON fields, and finding their values in an object.
//!
//! | by | method | path | time | status |
//! |---|---|---|---|---|
//! | nginx | `request_method` | `request_uri`, `uri` | `msec`, `time_iso8601`, `time_local` | `status` |
//! | Caddy | `request.method` | `request.uri` | `ts` | `status` |
//! | Traefik | `RequestMethod` | `RequestPath` | `StartUTC` | `DownstreamStatus` |
//! | Envoy, Istio | `method` | `path` | `start_time` | `response_code` |
//! | Google Cloud | `httpRequest.requestMethod` | `httpRequest.requestUrl` | `timestamp` | `httpRequest.status` |
//! | Elastic Common Schema | `http.request.method` | `url.original`, `url.path` | `@timestamp` | `http.response.status_code` |
//! | AWS API Gateway | `httpMethod` | `path` | `requestTime` | `status` |
//! | Cloudflare | `ClientRequestMethod` | `ClientRequestURI` | `EdgeStartTimestamp` | `EdgeResponseStatus` |
//! | others | `method` | `path`, `url` | `time`, `timestamp`, `@timestamp`, `ts`, `date` | `status_code`, `statusCode` |
//!
//! The names are from the manuals. The status is the first that is one of HTTP's. A whole request line in `request` takes precedence over all other
//! paths, because `uri` may be what the server made of it.

mod find;

use std::fmt;

pub(crate) use self::find::Found;

use self::find::Keys;

const METHOD_FIELDS: &str = "request_method request.method method RequestMethod \
    httpRequest.requestMethod http.request.method httpMethod ClientRequestMethod";

/// What the client asked for precedes what the server made of it.
const PATH_FIELDS: &str = "request_uri request.uri uri path url RequestPath httpRequest.requestUrl \
    url.original url.path ClientRequestURI ClientRequestPath";

/// The finest comes first, and a request's time before an entry's.
const TIME_FIELDS: &str = "msec time_iso8601 time_local StartUTC start_time ts time timestamp \
    @timestamp requestTime EdgeStartTimestamp date";

/// What the client got.
const STATUS_FIELDS: &str = "status DownstreamStatus response_code httpRequest.status \
    http.response.status_code EdgeResponseStatus status_code statusCode";

/// Lines of a log wrapped in JSON: Docker, journald, Logstash and Beats, Google Cloud.
const WRAPPED_FIELDS: &str = "log MESSAGE message textPayload";

/// How many fields are looked for in one line.
pub(crate) const SLOTS_MAX: usize = 64;

const NAMES_MAX: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct JsonFields {
    pub(crate) method: Wanted,
    pub(crate) request: Wanted,
    pub(crate) path: Wanted,
    pub(crate) time: Wanted,
    pub(crate) status: Wanted,
    pub(crate) logger: Wanted,
    pub(crate) level: Wanted,
    pub(crate) message: Wanted,
    pub(crate) error: Wanted,
    pub(crate) wrapped: Wanted,
    pub(crate) journal_time: Wanted,
    pub(crate) conditions: Vec<(Condition, Wanted)>,
    pub(crate) keys: Keys,
    /// Looked for only if the others do not say enough.
    pub(crate) rare_keys: Keys,
}

/// What a user says of the fields.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Named {
    /// Count only JSON entries with this value, or with != those without it; repeatable
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(crate) conditions: Vec<Condition>,

    /// The JSON field of the method; a dot selects from a nested object
    #[arg(long = "method-field", value_name = "NAME")]
    pub(crate) method: Option<String>,

    /// The JSON field of the path or URL
    #[arg(long = "path-field", value_name = "NAME")]
    pub(crate) path: Option<String>,

    /// The JSON field of the time
    #[arg(long = "time-field", value_name = "NAME")]
    pub(crate) time: Option<String>,

    /// The JSON field of the status
    #[arg(long = "status-field", value_name = "NAME")]
    pub(crate) status: Option<String>,
}

/// What makes an entry a request: `FIELD=VALUE` or `FIELD!=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    field: String,
    value: String,
    equal: bool,
}

/// The names of one thing, in order of preference, and the slots of their values.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    names: Vec<String>,
    first_slot: usize,
    pub(crate) is_named: bool,
}

// === impl JsonFields ===

impl Default for JsonFields {
    fn default() -> Self {
        Self::new(Named::default())
    }
}

impl JsonFields {
    /// The usual fields, or the given ones instead. A dot selects from a nested object, but may also be
    /// part of a key.
    pub(crate) fn new(named: Named) -> Self {
        let (mut slots, mut rare) = (Slots::default(), Slots::default());
        Self {
            method: slots.wanted(named.method, METHOD_FIELDS),
            request: slots.wanted(None, "request"),
            path: slots.wanted(named.path, PATH_FIELDS),
            time: slots.wanted(named.time, TIME_FIELDS),
            conditions: Vec::from_iter(named.conditions.into_iter().map(|condition| {
                let field = slots.wanted(Some(condition.field.clone()), "");
                (condition, field)
            })),
            logger: slots.wanted(None, "logger"),
            // The last ones: of several fields that occur twice, the first is named.
            status: slots.wanted(named.status, STATUS_FIELDS),
            level: rare.wanted(None, "level"),
            message: rare.wanted(None, "msg"),
            error: rare.wanted(None, "err_id"),
            wrapped: rare.wanted(None, WRAPPED_FIELDS),
            journal_time: rare.wanted(None, "__REALTIME_TIMESTAMP"),
            keys: slots.keys,
            rare_keys: rare.keys,
        }
    }

    /// The field that occurs twice.
    pub(crate) fn twice(&self, found: &Found<'_>) -> Option<&str> {
        let slot = found.twice?;
        let conditions = self.conditions.iter().map(|(_, field)| field);
        let all = [&self.method, &self.request, &self.path, &self.time];
        all.into_iter().chain(conditions).find_map(|field| {
            field.names.get(slot.checked_sub(field.first_slot)?).map(String::as_str)
        })
    }

    /// Whether a line without fields meets the conditions.
    pub(crate) fn conditions_hold_without_fields(&self) -> bool {
        self.conditions.iter().all(|(condition, _)| condition.holds(None))
    }
}

/// Gives each name a slot for its value.
#[derive(Default)]
struct Slots {
    keys: Keys,
    count: usize,
}

// === impl Slots ===

impl Slots {
    fn wanted(&mut self, given: Option<String>, usual: &str) -> Wanted {
        let is_named = given.is_some();
        let names: Vec<_> = match given {
            Some(name) => vec![name],
            None => usual.split_whitespace().map(str::to_owned).collect(),
        };
        let first_slot = self.count;
        for name in &names {
            self.keys.insert(name, self.count);
            if name.contains('.') {
                self.keys.node(name).slots.push(self.count);
            }
            self.count += 1;
        }
        Wanted { names, first_slot, is_named }
    }
}

// === impl Condition ===

impl Condition {
    pub(crate) fn holds(&self, value: Option<&str>) -> bool {
        (value == Some(&*self.value)) == self.equal
    }
}

impl std::str::FromStr for Condition {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (field, value) = text.split_once('=').ok_or("write FIELD=VALUE or FIELD!=VALUE")?;
        let (field, equal) = match field.strip_suffix('!') {
            Some(field) => (field, false),
            None => (field, true),
        };
        if field.is_empty() {
            return Err("name a field before the =");
        }
        Ok(Self { field: field.to_owned(), value: value.to_owned(), equal })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}={}", self.field, if self.equal { "" } else { "!" }, self.value)
    }
}

// === impl Wanted ===

impl Wanted {
    /// The present values, in order of preference; servers write `-` for a missing one.
    pub(crate) fn values<'f, 'a>(
        &self,
        found: &'f Found<'a>,
    ) -> impl Iterator<Item = &'a str> + use<'f, 'a> {
        let values = &found.values[self.first_slot..self.first_slot + self.names.len()];
        values.iter().flatten().copied().filter(|raw| {
            !raw.starts_with(['{', '[']) && !matches!(*raw, "null" | "\"\"" | "\"-\"")
        })
    }

    /// The first that is present, whatever it is.
    pub(crate) fn raw<'a>(&self, found: &Found<'a>) -> Option<&'a str> {
        found.values[self.first_slot..self.first_slot + self.names.len()]
            .iter()
            .flatten()
            .next()
            .copied()
    }

    /// The first of the [values](Self::values) that is a string.
    pub(crate) fn text<'a>(&self, found: &Found<'a>) -> Option<&'a str> {
        self.values(found).find(|raw| raw.starts_with('"'))
    }

    /// The names, for a message.
    pub(crate) fn names(&self) -> String {
        let more = if self.names.len() > NAMES_MAX { ", \u{2026}" } else { "" };
        self.names[..self.names.len().min(NAMES_MAX)].join(", ") + more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_field_is_found() {
        let fields = JsonFields::default();
        let all =
            [METHOD_FIELDS, PATH_FIELDS, TIME_FIELDS, STATUS_FIELDS, WRAPPED_FIELDS].join(" ");
        for name in all.split_whitespace() {
            let text = format!("{{\"{name}\":\"x\"}}");
            let mut found = Found::default();
            fields.keys.find(&text, &mut found).expect("JSON");
            let mut rare = Found::default();
            fields.rare_keys.find(&text, &mut rare).expect("JSON");
            let is_wrapped = WRAPPED_FIELDS.contains(name);
            assert_eq!(rare.values.contains(&Some("\"x\"")), is_wrapped, "{name}");
            assert_eq!(found.values.contains(&Some("\"x\"")), !is_wrapped, "{name}");
        }
    }

    #[test]
    fn there_is_room_for_conditions() {
        let conditions = vec!["a=b".parse().expect("one"); 16];
        let fields = JsonFields::new(Named { conditions, ..Named::default() });
        let mut found = Found::default();
        assert!(fields.keys.find("{\"a\":\"b\",\"logger\":\"c\"}", &mut found).is_ok());
    }

    #[test]
    fn conditions_are_read_and_printed() {
        for (text, value, holds) in [
            ("a=b", Some("b"), true),
            ("a=b", Some("c"), false),
            ("a=b", None, false),
            ("a!=b", Some("b"), false),
            ("a!=b", None, true),
            ("a.b=c=d", Some("c=d"), true),
        ] {
            let condition: Condition = text.parse().expect(text);
            assert_eq!(condition.to_string(), text);
            assert_eq!(condition.holds(value), holds, "{text} {value:?}");
        }
        assert!("a".parse::<Condition>().is_err());
        assert!("!=b".parse::<Condition>().is_err());
    }
}
