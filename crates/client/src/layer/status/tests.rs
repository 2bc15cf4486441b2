//! What the codes of gRPC count as.

use super::*;

#[test]
fn a_code_is_its_number_but_for_ok() {
    for (code, status) in
        [("0", 200), ("1", 1), ("16", 16), ("17", 2), ("-1", 2), ("", 2), ("x", 2)]
    {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().expect("a value"));
        assert_eq!(of_trailers(&trailers), Some(status), "{code:?}");
    }
    assert_eq!(of_trailers(&HeaderMap::new()), None);
}

#[test]
fn a_head_has_a_status_unless_the_trailers_do() {
    let head = |status: u16, code: Option<&'static str>| {
        let mut head = http::Response::builder().status(status);
        if let Some(code) = code {
            head = head.header("grpc-status", code);
        }
        of_grpc_head(&head.body(()).expect("a head"))
    };
    assert_eq!(head(200, None), None);
    assert_eq!(head(200, Some("0")), Some(200));
    assert_eq!(head(200, Some("5")), Some(5));
    let web = http::Response::builder().header("content-type", "application/grpc-web+proto");
    assert_eq!(of_grpc_head(&web.body(()).expect("a head")), Some(0));
    // Something in between has answered.
    assert_eq!(head(404, None), Some(404));
    assert_eq!(head(503, Some("14")), Some(503));
}
