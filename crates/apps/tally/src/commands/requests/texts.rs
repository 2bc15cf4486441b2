//! The service and the customer of requests, as people write them.

use tally_proto::wire::{CUSTOMER_BYTES_MAX, SERVICE_BYTES_MAX};

pub(crate) fn service(text: &str) -> Result<String, String> {
    within(text, SERVICE_BYTES_MAX)
}

pub(crate) fn customer(text: &str) -> Result<String, String> {
    within(text, CUSTOMER_BYTES_MAX)
}

fn within(text: &str, bytes_max: usize) -> Result<String, String> {
    match text.len() {
        0 => Err("it is empty; leave the flag out if it is not known".to_owned()),
        bytes if bytes > bytes_max => {
            Err(format!("it has {bytes} bytes, and at most {bytes_max} are kept"))
        }
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_server_keeps_is_refused() {
        assert_eq!(service("shop"), Ok("shop".to_owned()));
        assert!(service(&"x".repeat(128)).is_ok() && customer(&"x".repeat(256)).is_ok());
        let why = service(&"x".repeat(129)).expect_err("too long");
        assert!(why.contains("129") && why.contains("128"), "{why}");
        let why = customer(&"x".repeat(257)).expect_err("too long");
        assert!(why.contains("257") && why.contains("256"), "{why}");
        assert!(customer("").is_err());
    }
}
