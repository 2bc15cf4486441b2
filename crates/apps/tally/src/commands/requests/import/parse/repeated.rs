//! Lines that stand for several, as syslog daemons write them.
//!
//! | accepted | by | counts |
//! |---|---|---|
//! | `… TAG: message repeated N times: [LINE]` | rsyslog, `$RepeatedMsgReduction on` | LINE, N times |
//! | `… Last message 'LINE' repeated N times, suppressed by syslog-ng on HOST` | syslog-ng, `suppress()` | LINE, N times |
//! | `… last message repeated N times` | sysklogd, FreeBSD's syslogd | malformed: it does not say what |

use super::Malformed;
use super::malformed::quote;

/// How many lines one line may stand for: a second of one client.
pub(crate) const TIMES_MAX: u32 = 10_000;

const REPEATED: &[u8] = b"message repeated ";
const SUPPRESSED: &[u8] = b" times, suppressed by syslog-ng on";

/// The line that this one repeats, and how many times; `None` if it stands for itself.
#[inline]
pub(crate) fn unfold(line: &[u8]) -> Result<Option<(&[u8], u32)>, Malformed> {
    match line.last() {
        Some(b']') => in_brackets(line),
        Some(b's') if line.ends_with(b" times") => in_brackets(line),
        Some(b'"' | b'}') | None => Ok(None),
        Some(_) => suppressed(line),
    }
}

fn suppressed(line: &[u8]) -> Result<Option<(&[u8], u32)>, Malformed> {
    // The last word is the host.
    let before = memchr::memrchr(b' ', line).map(|at| &line[..at]);
    let Some(folded) = before.and_then(|before| before.strip_suffix(SUPPRESSED)) else {
        return Ok(None);
    };
    let begin = memchr::memmem::find(folded, b"Last message '").map(|at| at + 14);
    let digits = folded.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (inner, number) = folded.split_at(folded.len() - digits);
    let (Some(begin), Some(inner)) = (begin, inner.strip_suffix(b"' repeated ")) else {
        return Ok(None);
    };
    match (inner.get(begin..), times(number)) {
        (Some(inner), Some(times)) => Ok(Some((inner, times))),
        _ => Err(Malformed::RepeatsTooMany(quote(&line[begin..]))),
    }
}

fn times(digits: &[u8]) -> Option<u32> {
    let times = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (times <= TIMES_MAX).then_some(times)
}

fn in_brackets(line: &[u8]) -> Result<Option<(&[u8], u32)>, Malformed> {
    let Some(at) = memchr::memmem::find(line, REPEATED) else { return Ok(None) };
    let (before, rest) = (&line[..at], &line[at + REPEATED.len()..]);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let after = rest[digits..].strip_prefix(b" times");
    let (true, Some(after)) = (digits > 0, after) else { return Ok(None) };
    if before.ends_with(b"last ") && after.is_empty() {
        return Err(Malformed::RepeatsUnsaid(quote(&line[at - 5..])));
    }
    // A client can only write in quotes, or after the program's tag.
    if !before.ends_with(b": ") || before.contains(&b'"') {
        return Ok(None);
    }
    let inner = after.strip_prefix(b": [").and_then(|inner| inner.strip_suffix(b"]"));
    let Some(inner) = inner else { return Ok(None) };
    match times(&rest[..digits]) {
        Some(times) => Ok(Some((inner.trim_ascii(), times))),
        None => Err(Malformed::RepeatsTooMany(quote(&line[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_unfolded_only_where_syslog_folded_it() {
        let line = b"Mar  2 10:00:05 web nginx: message repeated 3 times: [ h - - x]";
        assert_eq!(unfold(line), Ok(Some((&b"h - - x"[..], 3))));
        for line in [
            &b"h - - [02/Mar/2026:10:00:05 +0000] \"GET /message repeated 3 times: [x] HTTP/1.1\" 200"[..],
            b"\"x: message repeated 3 times: [a]",
            b"Mar  2 10:00:05 web nginx: message repeated 3 times",
            b"message repeated x times: [a]",
        ] {
            assert_eq!(unfold(line), Ok(None), "{}", line.escape_ascii());
        }
        let line = b"Mar  2 10:00:05 web syslog-ng: Last message 'h 'x' y' repeated 4 times, suppressed by syslog-ng on web1";
        assert_eq!(unfold(line), Ok(Some((&b"h 'x' y"[..], 4))));
        let unsaid = unfold(b"Mar  2 10:00:05 web last message repeated 2 times");
        assert!(matches!(unsaid, Err(Malformed::RepeatsUnsaid(_))), "{unsaid:?}");
        let many = unfold(b"web nginx: message repeated 99999999999 times: [ x]");
        assert!(matches!(many, Err(Malformed::RepeatsTooMany(_))), "{many:?}");
    }
}
