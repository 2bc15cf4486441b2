//! Debts that a payment makes, with their terms in the query: `create=1&every=1h&grace=5m`.

use super::asked::Asked;
use crate::definition::{Definition, Written};
use crate::error::Error;
use crate::service::Service;

/// What is agreed if nothing is said, as of healthchecks: a payment a day, an hour late at most.
const EVERY: &str = "1d";
const GRACE: &str = "1h";
/// What may be said.
const NAMES: &str = "name, tags, description, every, cron, tz, deadline, early_window, start_limit, grace, \
                     run_limit, run_min, heartbeat_limit, rate_payments, rate_period, failures_to_alarm and \
                     successes_to_recover";

/// Which debt the payment makes if there is none, if it asks for that. `others` are the parameters of the
/// query that say something else.
pub(super) fn definition(
    service: &Service,
    asked: &Asked,
    slug: &str,
    others: &[&str],
) -> Result<Option<Definition>, Error> {
    match asked.one("create") {
        None | Some("0" | "false") => return Ok(None),
        Some("1" | "true") => {}
        Some(_) => return Err(Error::wrong("create", "write create=1, or leave it out")),
    }
    let mut written = Written { slug: slug.to_owned(), ..Written::default() };
    read(&mut written, asked, others)?;
    if written.every.is_none() && written.cron.is_none() && written.deadline.is_none() {
        written.every = Some(EVERY.to_owned());
        let grace = written.grace.get_or_insert_with(|| GRACE.to_owned()).clone();
        // healthchecks has one limit for both.
        written.run_limit.get_or_insert(grace);
    }
    service.define(written).map(Some)
}

/// Takes terms over from a query. An unknown one is an error, because a debt of other terms than were meant is
/// worse than none.
pub(super) fn read(written: &mut Written, asked: &Asked, others: &[&str]) -> Result<(), Error> {
    let known = |name: &str| name == "create" || others.contains(&name);
    let mut wrong = Vec::new();
    for (name, value) in asked.query.iter().filter(|(name, _)| !known(name)) {
        if value.is_empty() {
            continue;
        }
        if let Err(why) = set(written, name, value) {
            wrong.push((name.clone(), why));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::Wrong(wrong)) }
}

fn set(written: &mut Written, name: &str, value: &str) -> Result<(), String> {
    let slot = match name {
        "name" => return replaced(&mut written.name, value),
        "description" => return replaced(&mut written.description, value),
        "tags" => {
            let tags = value.split([' ', ',']).filter(|tag| !tag.is_empty());
            written.tags = tags.map(str::to_owned).collect();
            return Ok(());
        }
        "rate_payments" => return number(&mut written.rate_payments, value),
        "failures_to_alarm" => return number(&mut written.failures_to_alarm, value),
        "successes_to_recover" => return number(&mut written.successes_to_recover, value),
        "every" => &mut written.every,
        "cron" => &mut written.cron,
        "tz" | "time_zone" => &mut written.time_zone,
        "deadline" => &mut written.deadline,
        "early_window" => &mut written.early_window,
        "start_limit" => &mut written.start_limit,
        "grace" => &mut written.grace,
        "run_limit" => &mut written.run_limit,
        "run_min" => &mut written.run_min,
        "heartbeat_limit" => &mut written.heartbeat_limit,
        "rate_period" => &mut written.rate_period,
        _ => return Err(format!("a debt has no such term; there are {NAMES}")),
    };
    if slot.is_some() {
        return Err("it is given twice".to_owned());
    }
    *slot = Some(value.to_owned());
    Ok(())
}

fn replaced(slot: &mut String, value: &str) -> Result<(), String> {
    value.clone_into(slot);
    Ok(())
}

fn number<T: std::str::FromStr>(slot: &mut Option<T>, value: &str) -> Result<(), String> {
    let read = value.parse().map_err(|_| "write a whole number".to_owned())?;
    *slot = Some(read);
    Ok(())
}
