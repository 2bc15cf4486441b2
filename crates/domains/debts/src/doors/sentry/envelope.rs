//! Check-ins in an envelope: a line of JSON, then for each item a line of JSON and its bytes.

use serde::Deserialize;
use serde_json::Value;

use super::check_in::CheckIn;

/// How many check-ins an envelope may have.
const CHECK_INS_MAX: usize = 100;

/// What stands before an item.
#[derive(Deserialize)]
struct Item {
    r#type: String,
    /// Without it, the item ends with its line.
    length: Option<usize>,
}

/// The check-ins; other items are skipped.
pub(super) fn check_ins(bytes: &[u8]) -> Result<Vec<CheckIn>, String> {
    let wrong = |what: &str| format!("the envelope has {what}");
    let (head, mut rest) = line(bytes);
    serde_json::from_slice::<Value>(head)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| wrong("no JSON object as its first line"))?;
    let mut check_ins = Vec::new();
    while !rest.trim_ascii().is_empty() {
        let (head, after) = line(rest);
        if head.trim_ascii().is_empty() {
            rest = after;
            continue;
        }
        let item: Item = serde_json::from_slice(head)
            .map_err(|error| wrong(&format!("a wrong head of an item: {error}")))?;
        let payload = match item.length {
            Some(length) => {
                let payload =
                    after.get(..length).ok_or_else(|| wrong("less than an item's length"))?;
                rest = &after[length..];
                payload
            }
            None => {
                let (payload, after) = line(after);
                rest = after;
                payload
            }
        };
        if item.r#type == "check_in" {
            if check_ins.len() == CHECK_INS_MAX {
                return Err(wrong(&format!("more than {CHECK_INS_MAX} check-ins")));
            }
            let check_in: CheckIn = serde_json::from_slice(payload)
                .map_err(|error| wrong(&format!("a wrong check-in: {error}")))?;
            check_ins.push(check_in);
        }
    }
    Ok(check_ins)
}

/// What comes before the end of a line, and what after it.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_ins_are_found_among_other_items() {
        let check_in = r#"{"monitor_slug":"a","status":"ok"}"#;
        let envelope = format!(
            "{{\"dsn\":\"x\"}}\n{{\"type\":\"check_in\",\"length\":{}}}\n{check_in}\n\
             {{\"type\":\"attachment\",\"length\":4}}\n\n\n{{}}\n{{\"type\":\"session\"}}\n{{}}\n\
             {{\"type\":\"check_in\"}}\n{check_in}",
            check_in.len()
        );
        let found = check_ins(envelope.as_bytes()).expect("an envelope");
        assert_eq!(found.iter().map(|one| &*one.monitor_slug).collect::<Vec<_>>(), ["a", "a"]);
        assert!(check_ins(b"{}\n").expect("an empty one").is_empty());
    }

    #[test]
    fn what_is_no_envelope_is_told() {
        for (envelope, told) in [
            ("", "no JSON object as its first line"),
            ("[]\n", "no JSON object as its first line"),
            ("{}\nx\n", "a wrong head of an item"),
            ("{}\n{\"type\":\"check_in\",\"length\":10}\n{}", "less than an item's length"),
            ("{}\n{\"type\":\"check_in\"}\nx", "a wrong check-in"),
        ] {
            let why = check_ins(envelope.as_bytes()).expect_err(envelope);
            assert!(why.contains(told), "{envelope}: {why}");
        }
    }
}
