//! What a broken stream leaves in doubt.

use super::*;

/// The server ended while nothing was in flight: the next requests are not sent.
#[tokio::test]
async fn without_a_connection_nothing_is_in_doubt() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
    let channel = endpoint.expect("an address").connect_lazy();
    let messages = tokio_stream::iter([AddRequest::default()]);
    let status = CountServiceClient::new(channel).add(messages).await.expect_err("nobody");
    assert!(is_unconnected(&status), "{status:?}");
    assert!(!is_unconnected(&Status::unavailable("lost answer")));
}
