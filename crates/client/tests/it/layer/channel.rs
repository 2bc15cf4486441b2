//! The layer around the channel of a client: its calls count with what the client gets.

use futures_util::StreamExt as _;
use tally_client::Queue;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::count::v1::{GetPeriodTotalsRequest, ListDailyTotalsRequest};
use tally_proto::tally::requests::v1::QueryTotalsRequest;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::{Channel, Server as Tonic};
use tower::Layer as _;

use super::grpc::{Services, channel, routes};
use super::support::{Server, assert_counts};

async fn served() -> Server {
    let router = Tonic::builder().add_routes(routes(&Services::default()));
    Server::with(|listener| async {
        let incoming = TcpListenerStream::new(listener);
        router.serve_with_incoming(incoming).await.expect("it serves");
    })
    .await
}

#[tokio::test]
async fn a_call_of_a_channel_counts_with_the_code_that_the_client_gets() {
    let queue = Queue::in_memory();
    let server = served().await;
    let mut count = CountServiceClient::new(queue.layer().layer(channel(&server).await));
    count.list_daily_totals(ListDailyTotalsRequest::default()).await.expect("unary");
    let failed = count.get_period_totals(GetPeriodTotalsRequest::default()).await;
    assert_eq!(failed.expect_err("on purpose").code(), Code::NotFound);
    let expected = [
        ("GRPC /count.v1.CountService/GetPeriodTotals 5", 1),
        ("GRPC /count.v1.CountService/ListDailyTotals 200", 1),
    ];
    assert_counts(&queue, expected);
}

#[tokio::test]
async fn a_stream_of_a_channel_counts_when_the_client_has_done_with_it() {
    let queue = Queue::in_memory();
    let server = served().await;
    let mut requests = RequestServiceClient::new(queue.layer().layer(channel(&server).await));
    let broken = requests.query_totals(QueryTotalsRequest::default()).await.expect("a head");
    assert_eq!(broken.into_inner().collect::<Vec<_>>().await.len(), 2);
    let endless = QueryTotalsRequest { live: true, ..Default::default() };
    let mut left = requests.query_totals(endless).await.expect("a head").into_inner();
    assert!(left.next().await.expect("an answer").is_ok());
    assert_counts(&queue, [("GRPC /tally.requests.v1.RequestService/QueryTotals 10", 1)]);
    drop(left);
    let expected = [
        ("GRPC /tally.requests.v1.RequestService/QueryTotals 10", 1),
        ("GRPC /tally.requests.v1.RequestService/QueryTotals 499", 1),
    ];
    assert_counts(&queue, expected);
}

#[tokio::test]
async fn a_call_of_a_channel_without_a_server_counts_as_failed() {
    let queue = Queue::in_memory();
    // Nothing listens on port 1.
    let away = Channel::from_static("http://127.0.0.1:1").connect_lazy();
    let mut count = CountServiceClient::new(queue.layer().layer(away));
    let failed = count.list_daily_totals(ListDailyTotalsRequest::default()).await;
    assert_eq!(failed.expect_err("no server").code(), Code::Unavailable);
    assert_counts(&queue, [("GRPC _unmatched 500", 1)]);
}
