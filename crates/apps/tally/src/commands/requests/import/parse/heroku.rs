//! The log of Heroku's router: pairs of names and values.
//!
//! | accepted | source |
//! |---|---|
//! | `TIME heroku[router]: … method=GET path="/a?b" …` | Heroku, "HTTP Routing", router log format |

use std::borrow::Cow;

use super::clf::closing_quote;
use super::malformed::{Missing, quote};
use super::status::status;
use super::target::{is_connect, method, path};
use super::time::parse_date_and_time;
use super::{Entry, Malformed, Reading};

const ROUTER: &[u8] = b" heroku[router]: ";
const STATUS: &[u8] = b" status=";

/// Reads one line; `None` if it is not the router's.
pub(crate) fn parse<'a>(line: &'a [u8], reading: &Reading) -> Option<Result<Entry<'a>, Malformed>> {
    let at = memchr::memmem::find(line, ROUTER)?;
    Some(pairs(&line[..at], &line[at + ROUTER.len() - 1..], reading))
}

fn pairs<'a>(before: &[u8], pairs: &'a [u8], reading: &Reading) -> Result<Entry<'a>, Malformed> {
    let time = before.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    let micros = parse_date_and_time(time, reading.zone.as_ref())
        .map_err(|why| Malformed::time(time, why))?;
    let after = |name: &[u8]| {
        let at = memchr::memmem::find(pairs, name)?;
        Some(&pairs[at + name.len()..])
    };
    let verb = after(b" method=").and_then(|rest| rest.split(|&byte| byte == b' ').next());
    let target = match after(b" path=\"") {
        Some(rest) => {
            let cut_off = || Malformed::RequestNotClosed(quote(rest));
            Some(&rest[..closing_quote(rest).ok_or_else(cut_off)?])
        }
        None => None,
    };
    let (Some(verb), Some(target)) = (verb, target) else {
        let names = |is_missing: bool, name: &str| is_missing.then(|| name.to_owned());
        return Err(Malformed::Missing(Box::new(Missing {
            method: names(verb.is_none(), "method="),
            path: names(target.is_none(), "path="),
            time: None,
        })));
    };
    let number = method(verb)?;
    let path: Cow<'_, str> = path(target, is_connect(verb), reading.keep_query);
    // No client can write behind the last one.
    let at = memchr::memmem::rfind(pairs, STATUS).map(|at| &pairs[at + STATUS.len()..]);
    let status = at.and_then(|rest| rest.split(|&byte| byte == b' ').next()).map_or(0, status);
    Ok(Entry { method: number, path, status, micros, times: 1 })
}

#[cfg(test)]
mod tests {
    use crate::commands::requests::import::parse::Parser;
    use crate::commands::requests::import::parse::tests::{counted, read_as, status_of};

    #[test]
    fn the_routers_pairs() {
        let head = "2015-05-17T10:05:03.123456+00:00 heroku[router]: at=info";
        let line = format!("{head} method=GET path=\"/a?b=c d\" host=h fwd=\"1\" status=200");
        assert_eq!(counted(&line), (3, "/a".to_owned()));
        let forged =
            format!("{head} method=GET path=\"/ status=500 x\" fwd=\"1\" status=404 bytes=1");
        for (line, status) in [(&*line, 200), (&*forged, 404), (&*line.replace("=200", "=\"\""), 0)]
        {
            assert_eq!(status_of(line), status, "{line}");
        }
        for (rest, words) in [
            ("code=H10", "no method (looked for method=), no path"),
            ("method=GET path=\"/cut", "cut off after \"/cut\""),
            ("method=\"GET\" path=\"/a\"", "does not begin with a method"),
        ] {
            let why = read_as(&Parser::default(), &format!("{head} {rest}")).expect_err(rest);
            assert!(why.to_string().contains(words), "{why}");
        }
    }
}
