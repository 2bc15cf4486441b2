//! Which series a correction is of, and which others its path has.

use tally_proto::google::r#type::Date;
use tally_proto::tally::requests::v1::{
    Granularity, Group, GroupBy, LimitOrder, Omitted, QueryTotalsRequest, Series,
};

use crate::client::ServerArgs;
use crate::dates;
use crate::output::{plural, shell_word, visible};

/// At most this many other series are shown.
const SHOWN_MAX: u32 = 5;

/// A series with all its fields: those that a person did not think of tell it apart as well.
pub(super) fn named(series: &Series) -> String {
    let Series { service, method, path, status, customer } = series;
    let field = |name: &str, value: &str| match value {
        "" => format!("no {name}"),
        _ => format!("{name} {}", shell_word(value)),
    };
    let status = if *status == 0 { String::new() } else { status.to_string() };
    format!(
        "{} {} ({}, {}, {})",
        method_name(method),
        visible(path),
        field("status", &status),
        field("service", service),
        field("customer", customer),
    )
}

/// What the path has on this day, as arguments. It only helps, so its own failure does not matter.
pub(super) async fn of_path(server: &ServerArgs, day: Date, path: &str) -> Option<String> {
    let groups = [GroupBy::Service, GroupBy::Method, GroupBy::Status, GroupBy::Customer];
    let request = QueryTotalsRequest {
        from: Some(day),
        to: Some(day),
        granularity: Granularity::Whole.into(),
        live: true,
        paths: vec![path.to_owned()],
        limit: SHOWN_MAX,
        limit_order: LimitOrder::Count.into(),
        group_by: groups.map(i32::from).to_vec(),
        ..QueryTotalsRequest::default()
    };
    let mut answer = server.requests().await.ok()?.query_totals(request).await.ok()?.into_inner();
    let (mut named, mut counted, mut omitted) = (Vec::new(), Vec::new(), None);
    while let Some(part) = answer.message().await.ok()? {
        named.extend(part.groups);
        omitted = omitted.or(part.omitted);
        for period in part.periods {
            counted.extend(period.number.into_iter().zip(period.count));
        }
    }
    let counted = counted.iter();
    let counted = counted.filter_map(|(group, count)| Some((named.get(*group as usize)?, *count)));
    Some(lines(day, path, counted, omitted))
}

fn lines<'a>(
    day: Date,
    path: &str,
    counted: impl Iterator<Item = (&'a Group, i64)>,
    omitted: Option<Omitted>,
) -> String {
    let (day, word) = (dates::iso(day), shell_word(path));
    let mut lines: Vec<_> = counted
        .map(|(group, count)| {
            let mut words = vec![method_name(&group.method), word.clone()];
            let status = if group.status == 0 { String::new() } else { group.status.to_string() };
            for (flag, value) in [
                ("--service", &group.service),
                ("--status", &status),
                ("--customer", &group.customer),
            ] {
                if !value.is_empty() {
                    words.extend([flag.to_owned(), shell_word(value)]);
                }
            }
            format!("  {}: {}", words.join(" "), plural(count, "request"))
        })
        .collect();
    if lines.is_empty() {
        return format!("nothing was counted on {day} with the path {word}");
    }
    lines.insert(0, format!("what was counted on {day} with this path:"));
    if let Some(Omitted { totals, .. }) = omitted {
        lines.push(format!(
            "  and {totals} more: tally totals {day} --live --path {word} \
             --group-by service,method,path,status,customer"
        ));
    }
    lines.join("\n")
}

fn method_name(method: &str) -> String {
    if method.is_empty() { "UNSPECIFIED".to_owned() } else { visible(method).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Date = Date { year: 2015, month: 5, day: 17 };

    #[test]
    fn every_field_of_a_series_is_named() {
        let bare = Series { path: "/a".into(), ..Series::default() };
        assert_eq!(named(&bare), "UNSPECIFIED /a (no status, no service, no customer)");
        let full = Series {
            service: "shop".into(),
            method: "GET".into(),
            path: "/a\x1b".into(),
            status: 200,
            customer: "Acme Inc".into(),
        };
        assert_eq!(named(&full), "GET /a\\u{1b} (status 200, service shop, customer 'Acme Inc')");
    }

    #[test]
    fn other_series_are_arguments() {
        let group = Group {
            service: "shop".into(),
            method: "GET".into(),
            status: 200,
            customer: "it's".into(),
            ..Group::default()
        };
        let bare = Group { method: "GET".into(), ..Group::default() };
        let text = lines(DAY, "/a b", [(&group, 1_000), (&bare, 1)].into_iter(), None);
        assert_eq!(
            text,
            "what was counted on 2015-05-17 with this path:\n  \
             GET '/a b' --service shop --status 200 --customer 'it'\\''s': 1,000 requests\n  \
             GET '/a b': 1 request"
        );
        let omitted = Some(Omitted { totals: 3, requests: 4 });
        let text = lines(DAY, "/a", [(&bare, 1)].into_iter(), omitted);
        assert!(text.ends_with("--group-by service,method,path,status,customer"), "{text}");
        let none = lines(DAY, "/a", std::iter::empty(), None);
        assert_eq!(none, "nothing was counted on 2015-05-17 with the path /a");
    }
}
