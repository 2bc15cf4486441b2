//! Which requests are gRPC calls.

use super::is_grpc;

#[test]
fn the_content_types_of_grpc() {
    for yes in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;charset=utf-8",
        "application/grpc ; q=1",
        "Application/gRPC+JSON",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
    ] {
        assert!(is_grpc(yes.as_bytes()), "{yes}");
    }
    for no in ["", "application/grp", "application/grpcx", "application/grpc-we", "text/grpc"] {
        assert!(!is_grpc(no.as_bytes()), "{no}");
    }
}
