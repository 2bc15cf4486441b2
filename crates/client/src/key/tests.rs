//! HTTP methods.

use super::*;

#[test]
fn methods_of_http_are_kept_apart() {
    for (token, number) in methods::FURTHER.into_iter().chain([("GET", 3), ("PATCH", 9)]) {
        for token in [token.to_owned(), token.to_lowercase()] {
            let method = http::Method::from_bytes(token.as_bytes()).unwrap();
            assert_eq!(Method::from(&method), Method(number), "{token}");
        }
        assert_eq!(Method(number).to_string(), token);
    }
    for unknown in ["FETCH", "GRPC", "grpc"] {
        let unknown = http::Method::from_bytes(unknown.as_bytes()).unwrap();
        assert_eq!(Method::from(&unknown), Method::UNSPECIFIED);
    }
}
