//! Signatures by which a receiver knows that an event is from here, and when it was sent: those of
//! Standard Webhooks (standardwebhooks.com, version 1, symmetric), for which there are libraries in
//! many languages.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use uuid::Uuid;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// How many bytes a secret has, by the specification.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// One, and while it is being replaced the other one.
const SECRETS_MAX: usize = 2;

/// The secrets that events are signed with.
#[derive(Clone)]
pub struct Secrets(Vec<hmac::Key>);

// === impl Secrets ===

impl Secrets {
    /// The value of the header `webhook-signature`, for one attempt to deliver an event.
    #[must_use]
    pub fn sign(&self, id: Uuid, seconds: i64, body: &str) -> String {
        let text = format!("{id}.{seconds}.{body}");
        let one = |key| format!("v1,{}", STANDARD.encode(hmac::sign(key, text.as_bytes())));
        self.0.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

/// Never a secret.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secrets").field(&self.0.len()).finish()
    }
}

impl FromStr for Secrets {
    type Err = &'static str;

    /// One or two, with a comma between them. No error repeats them.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let one = |text: &str| {
            let bytes =
                text.trim().strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok());
            let bytes = bytes.filter(|bytes| BYTES.contains(&bytes.len()));
            bytes.map(|bytes| hmac::Key::new(hmac::HMAC_SHA256, &bytes)).ok_or(
                "a secret is whsec_ and 24 to 64 random bytes in base64: draw one by \
                 echo whsec_$(head -c 32 /dev/urandom | base64)",
            )
        };
        let all: Vec<_> = text.split(',').map(one).collect::<Result<_, _>>()?;
        if all.len() > SECRETS_MAX {
            return Err(
                "there may be two: the new one, and the old one until all receivers know it",
            );
        }
        Ok(Self(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key that libraries for Standard Webhooks are tested with.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let secrets: Secrets = KEY.parse().expect("a secret");
        let key = hmac::Key::new(
            hmac::HMAC_SHA256,
            &STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64"),
        );
        let id = Uuid::from_u128(7);
        let signed = secrets.sign(id, 1_614_265_330, "{\"test\": 2432232314}");
        let text = format!("{id}.1614265330.{{\"test\": 2432232314}}");
        let mac = STANDARD.decode(signed.strip_prefix("v1,").expect("version 1")).expect("base64");
        assert!(hmac::verify(&key, text.as_bytes(), &mac).is_ok());
        assert!(!format!("{secrets:?}").contains("MfKQ"));
    }

    #[test]
    fn while_a_secret_is_replaced_both_sign() {
        let (old, new) = (KEY, format!("{PREFIX}{}", STANDARD.encode([7; 32])));
        let sign = |text: &str| text.parse::<Secrets>().expect("secrets").sign(Uuid::nil(), 0, "");
        assert_eq!(sign(&format!("{new}, {old}")), format!("{} {}", sign(&new), sign(old)));
    }

    #[test]
    fn a_secret_is_long_and_is_not_repeated() {
        let short = format!("{PREFIX}{}", STANDARD.encode([7; 23]));
        let long = format!("{PREFIX}{}", STANDARD.encode([7; 65]));
        let three = [KEY, KEY, KEY].join(",");
        for text in ["", "secret", "whsec_", "whsec_\u{20ac}", &short, &long, &three, &KEY[6..]] {
            let why = text.parse::<Secrets>().expect_err(text);
            assert!(text.len() < 10 || !why.contains(text), "{why}");
        }
    }
}
