//! Keys from a file, for automation.

use jiff::Timestamp;
use tally_runtime::Namespace;

use crate::key::{Key, is_key_name, is_namespace};
use crate::{Digest, Scope, Secret};

/// What a digest begins with.
const SHA_256: &str = "sha256:";

/// Reads the lines of a file of keys: a name, a scope, and the key, or `sha256:` and the SHA-256 of
/// the key in hexadecimal digits; then, if wanted, `namespace=NAME` and `expires=TIME`. Empty lines and
/// those that begin with `#` say nothing. Numbers of namespaces are not known yet.
///
/// # Errors
/// What is wrong with the first wrong line, without a key.
pub(crate) fn read(text: &str) -> Result<Vec<Key>, String> {
    let mut keys: Vec<Key> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what| format!("line {}: {what}", at + 1);
        let key = of_line(line).map_err(wrong)?;
        if keys.iter().any(|other| other.digest == key.digest) {
            return Err(wrong("this key is there twice"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn of_line(line: &str) -> Result<Key, &'static str> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(scope), Some(key)) = (words.next(), words.next(), words.next()) else {
        return Err("write NAME SCOPE KEY, or NAME SCOPE sha256:DIGITS");
    };
    if !is_key_name(name) {
        return Err("a name has 1 to 63 letters, digits, hyphens, dots and underscores");
    }
    let scope = Scope::of(scope).ok_or("the scope is ingest, read or admin")?;
    let digest = match key.strip_prefix(SHA_256) {
        Some(hex) => Digest::of_hex(hex).ok_or("a SHA-256 has 64 hexadecimal digits")?,
        None => {
            let key = Secret::read(key)
                .ok_or("that is not a key of Tally: make one by tally key create")?;
            if key.scope() != Some(scope) {
                return Err("the key says another scope than the line");
            }
            key.digest()
        }
    };
    let mut key = Key {
        digest,
        name: name.to_owned(),
        namespace: Namespace::DEFAULT,
        namespace_name: "default".to_owned(),
        scope,
        created: Timestamp::UNIX_EPOCH,
        expires: None,
        revoked: None,
        last_used: None,
    };
    for word in words {
        match word.split_once('=') {
            Some(("namespace", name)) if is_namespace(name) => {
                name.clone_into(&mut key.namespace_name);
            }
            Some(("namespace", _)) => {
                return Err("a namespace has 1 to 63 lower-case letters, digits and hyphens");
            }
            Some(("expires", time)) => {
                key.expires = Some(
                    time.parse().map_err(|_| "expires is a time such as 2030-01-31T00:00:00Z")?,
                );
            }
            _ => return Err("after the key come namespace=NAME and expires=TIME only"),
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_digests_are_read() {
        let key = Secret::of_key(Scope::Read);
        let hex: String = key.digest().0.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "# for machines\n\n one read {}\ntwo ingest sha256:{} namespace=shop expires=2030-01-31T00:00:00Z\n",
            key.reveal(),
            hex.replace('0', "1"),
        );
        let keys = read(&text).expect("right");
        assert_eq!(
            (&*keys[0].name, keys[0].digest, keys[0].scope),
            ("one", key.digest(), Scope::Read)
        );
        assert_eq!((&*keys[1].namespace_name, keys[1].scope), ("shop", Scope::Ingest));
        assert_eq!(keys[1].expires, "2030-01-31T00:00:00Z".parse().ok());
    }

    #[test]
    fn a_wrong_line_is_named_without_its_key() {
        let key = Secret::of_key(Scope::Read);
        let key = key.reveal();
        for (line, words) in [
            (format!("one read {key}x"), "line 1: that is not a key"),
            (format!("# a\none admin {key}"), "line 2: the key says another scope"),
            (format!("one write {key}"), "line 1: the scope is"),
            (format!("o/ne read {key}"), "line 1: a name has"),
            ("one read".to_owned(), "line 1: write NAME"),
            ("one read sha256:12".to_owned(), "line 1: a SHA-256 has"),
            (format!("one read {key} namespace=A"), "line 1: a namespace has"),
            (format!("one read {key} expires=soon"), "line 1: expires is"),
            (format!("one read {key} more"), "line 1: after the key"),
            (format!("one read {key}\ntwo read {key}"), "line 2: this key is there twice"),
        ] {
            let wrong = read(&line).expect_err(&line);
            assert!(wrong.starts_with(words) && !wrong.contains(key), "{wrong}");
        }
    }
}
