//! Endpoints, services, customers and producers, as lists.

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::{Value, json};
use tally_access::Caller;
use tally_producers::{Producer, short_id};
use tally_serve::Needs;
use tally_serve::api::{
    self, FORMAT, Format, Operation, Parameter, Parameters, Problem, Reply, Values, csv, tag_of,
};

use super::cursor;
use super::totals::about;
use crate::listing::{ListOf, Listed, Listing};
use crate::model::DayRange;
use crate::service::Service;

/// How many items a list has, unless it is told otherwise, and at most.
pub(super) const LIMIT_USUAL: usize = 1_000;
const LIMIT_MAX: u64 = 10_000;
/// How many bytes the names of a list have about at most.
const BYTES_MAX: usize = 1 << 20;

const SEARCH: Parameter = Parameter {
    name: "search",
    about: "Only names that have this in them, in upper or lower case.",
    values: Values::Text,
    is_repeated: false,
};
pub(super) const LIMIT: Parameter = Parameter {
    name: "limit",
    about: "At most this many; fewer if their names have more than 1 MiB. Default: 1,000.",
    values: Values::Whole(1, LIMIT_MAX),
    is_repeated: false,
};
const AFTER: Parameter = Parameter {
    name: "after",
    about: "Go on after an answer: what it had in `next`.",
    values: Values::Text,
    is_repeated: false,
};
const WORKERS: Parameter = Parameter {
    name: "workers",
    about: "List the insert workers of servers too.",
    values: Values::Flag(false),
    is_repeated: false,
};

const LIST: Operation = Operation {
    method: "get",
    path: "/api/v1/requests/endpoints",
    needs: Needs::Read,
    id: "listRequestEndpoints",
    summary: "The endpoints that requests were counted under",
    about: "A method and a path, in order of the path.",
    parameters: &[SEARCH, LIMIT, AFTER, FORMAT],
    headers: &[],
    body: None,
    replies: &[
        Reply {
            status: 200,
            about: "Some of them, and where the list goes on; CSV says that in the header `Tally-Next`.",
            media_types: &[("application/json", Some("RequestEndpoints")), ("text/csv", None)],
        },
        Reply { status: 304, about: "The client has this answer.", media_types: &[] },
    ],
};

pub(super) static ENDPOINTS: Operation = LIST;
pub(super) static SERVICES: Operation = Operation {
    path: "/api/v1/requests/services",
    id: "listRequestServices",
    summary: "The services that requests were counted under",
    about: "In order. Requests without one have no entry.",
    replies: &[
        Reply {
            media_types: &[("application/json", Some("RequestServices")), ("text/csv", None)],
            ..LIST.replies[0]
        },
        LIST.replies[1],
    ],
    ..LIST
};
pub(super) static CUSTOMERS: Operation = Operation {
    path: "/api/v1/requests/customers",
    id: "listRequestCustomers",
    summary: "The customers that requests were counted under",
    about: "In order. Requests without one have no entry.",
    replies: &[
        Reply {
            media_types: &[("application/json", Some("RequestCustomers")), ("text/csv", None)],
            ..LIST.replies[0]
        },
        LIST.replies[1],
    ],
    ..LIST
};
pub(super) static PRODUCERS: Operation = Operation {
    path: "/api/v1/requests/producers",
    id: "listRequestProducers",
    summary: "The clients that number their batches",
    about: "In order of their names, each with the last 8 digits of its id, which tell it apart and open \
            nothing. With setbacks: batches that were acknowledged and that the database has no more.",
    parameters: &[SEARCH, WORKERS, LIMIT, AFTER, FORMAT],
    replies: &[
        Reply {
            media_types: &[("application/json", Some("RequestProducers")), ("text/csv", None)],
            ..LIST.replies[0]
        },
        LIST.replies[1],
    ],
    ..LIST
};

/// What a list is asked for.
struct Asked {
    format: Format,
    search: String,
    /// The name of the last item, and what else tells it apart.
    after: Option<(String, String)>,
    limit: usize,
    with_workers: bool,
}

/// A list before it is written: its name, its columns, and of each item the cells.
struct List {
    name: &'static str,
    columns: &'static [&'static str],
    items: Vec<Vec<Value>>,
    /// The last item, if there are more.
    next: Option<String>,
    setbacks: Option<Vec<Value>>,
}

pub(super) async fn endpoints(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    names(&service, request, ListOf::Endpoints).await
}

pub(super) async fn services(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    names(&service, request, ListOf::Services).await
}

pub(super) async fn customers(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    names(&service, request, ListOf::Customers).await
}

async fn names(service: &Service, request: Request, of: ListOf) -> Result<Response, Problem> {
    let asked = Asked::read(&request, &ENDPOINTS)?;
    let after = asked.after.map(|(name, method)| (name.into(), method.into()));
    let namespace = Caller::of(request.extensions()).namespace();
    let listing = Listing { namespace, of, search: asked.search, after, limit: asked.limit };
    let (mut names, mut has_more) = service.list(&listing).await?;
    has_more |= cut(&mut names, |(name, method)| name.len() + method.len());
    let next = names.last().filter(|_| has_more);
    let next = next.map(|(name, method)| cursor::encode(&[name, method]));
    let (name, columns): (_, &[_]) = match of {
        ListOf::Endpoints => ("endpoints", &["method", "path"]),
        ListOf::Services => ("services", &["service"]),
        ListOf::Customers => ("customers", &["customer"]),
    };
    let cells = |(name, method): Listed| match of {
        ListOf::Endpoints if method.is_empty() => vec!["UNSPECIFIED".into(), (*name).into()],
        ListOf::Endpoints => vec![(*method).into(), (*name).into()],
        ListOf::Services | ListOf::Customers => vec![(*name).into()],
    };
    let items = names.into_iter().map(cells).collect();
    let list = List { name, columns, items, next, setbacks: None };
    Ok(list.answer(request.headers(), asked.format))
}

pub(super) async fn producers(
    State(service): State<Service>,
    request: Request,
) -> Result<Response, Problem> {
    let asked = Asked::read(&request, &PRODUCERS)?;
    let namespace = Caller::of(request.extensions()).namespace();
    let setbacks = service.setbacks(namespace, DayRange::ALL).await?;
    // The larger one last, so that few wait with it for the other.
    let listed = service.producers(namespace, asked.with_workers).await?;
    let search = asked.search.to_lowercase();
    let mut listed: Vec<_> = listed.into_iter().map(|one| (short_id(one.id), one)).collect();
    listed.retain(|(id, one)| one.name.to_lowercase().contains(&search) || id.contains(&search));
    if let Some((name, id)) = &asked.after {
        listed.retain(|(other_id, one)| (&one.name, other_id) > (name, id));
    }
    listed.sort_by(|(id, one), (other_id, other)| (&one.name, id).cmp(&(&other.name, other_id)));
    let mut has_more = listed.len() > asked.limit;
    listed.truncate(asked.limit);
    has_more |= cut(&mut listed, |(id, one)| id.len() + one.name.len());
    let next = listed.last().filter(|_| has_more);
    let next = next.map(|(id, one)| cursor::encode(&[&one.name, id]));
    let list = List {
        name: "producers",
        columns: &["id", "name", "sequence", "last_seen", "accepted", "dropped", "is_worker"],
        items: listed.into_iter().map(|(id, one)| cells(&id, one)).collect(),
        next,
        setbacks: Some(setbacks.iter().map(about).collect()),
    };
    Ok(list.answer(request.headers(), asked.format))
}

/// Leaves out what is too much for one answer, and says whether there is any. The first item stays.
fn cut<T>(items: &mut Vec<T>, bytes: impl Fn(&T) -> usize) -> bool {
    let mut sum = 0;
    let fits = items.iter().take_while(|item| {
        let is_first = sum == 0;
        sum += bytes(item);
        is_first || sum <= BYTES_MAX
    });
    let (fits, len) = (fits.count(), items.len());
    items.truncate(fits);
    fits < len
}

fn cells(id: &str, of: Producer) -> Vec<Value> {
    let Producer { name, sequence, last_seen_micros, accepted, dropped, is_worker, .. } = of;
    vec![
        id.into(),
        name.into(),
        sequence.into(),
        time(last_seen_micros).into(),
        accepted.into(),
        dropped.into(),
        is_worker.into(),
    ]
}

/// A moment in UTC (RFC 3339).
pub(super) fn time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |time| time.to_string())
}

// === impl Asked ===

impl Asked {
    fn read(request: &Request, operation: &Operation) -> Result<Self, Problem> {
        let mut given = Parameters::of(request.uri().query(), operation.parameters);
        let format = Format::of(&mut given, request.headers())?;
        let search = given.one(&SEARCH).unwrap_or_default().to_owned();
        let limit = given.whole(&LIMIT).unwrap_or(LIMIT_USUAL);
        let after = given.read(&AFTER, cursor::decode).map(|[name, rest]| (name, rest));
        let with_workers = given.flag(&WORKERS);
        given.check()?;
        Ok(Self { format, search, after, limit, with_workers })
    }
}

// === impl List ===

impl List {
    fn answer(self, asked: &HeaderMap, format: Format) -> Response {
        let text = match format {
            Format::Json => self.json(),
            Format::Csv => self.csv(),
        };
        let tag = tag_of(&(&text, &self.next));
        let mut response = api::text(asked, tag, format.content_type(), text);
        let next = self.next.and_then(|next| HeaderValue::from_str(&next).ok());
        if let Some(next) = next {
            response.headers_mut().insert(HeaderName::from_static("tally-next"), next);
        }
        response
    }

    fn json(&self) -> Vec<u8> {
        let item = |cells: &Vec<Value>| -> Value {
            let members = self.columns.iter().zip(cells);
            Value::Object(members.map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect())
        };
        let items: Vec<_> = self.items.iter().map(item).collect();
        let mut answer = json!({"next": self.next, self.name: items});
        if let Some(setbacks) = &self.setbacks {
            answer["setbacks"] = setbacks.clone().into();
        }
        let mut text = answer.to_string().into_bytes();
        text.push(b'\n');
        text
    }

    fn csv(&self) -> Vec<u8> {
        let mut text = self.columns.join(",").into_bytes();
        csv::end(&mut text);
        for cells in &self.items {
            for (at, cell) in cells.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                match cell {
                    Value::String(cell) => csv::text(&mut text, cell),
                    other => text.extend_from_slice(other.to_string().as_bytes()),
                }
            }
            csv::end(&mut text);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_for_one_answer_is_left_out() {
        for (item, fits) in [(0, 5), (BYTES_MAX / 5, 5), (BYTES_MAX / 4 + 1, 3), (2 * BYTES_MAX, 1)]
        {
            let mut items = vec![item; 5];
            assert_eq!((cut(&mut items, |item| *item), items.len()), (fits < 5, fits), "{item}");
        }
    }
}
