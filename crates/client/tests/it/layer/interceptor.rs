//! The interceptor, with and without the layer that gives it the path.

use tally_client::{CountInterceptor, PathLayer, Queue};
use tally_proto::count::v1::ListDailyTotalsRequest;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::count::v1::count_service_server::CountServiceServer;
use tally_proto::tally::requests::v1::request_service_server::RequestServiceServer;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::{Interceptor as _, Routes};
use tonic::transport::Server as Tonic;
use tonic::{Request, Status};
use tower::Layer as _;

use super::grpc::{Services, call_each_kind, channel, routes};
use super::support::{Server, assert_paths};

/// Each service with its own interceptor.
fn intercepted(queue: &Queue) -> Routes {
    let services = Services::default();
    let count = queue.interceptor("count.v1.CountService");
    let requests = queue.interceptor("tally.requests.v1.RequestService");
    Routes::new(CountServiceServer::with_interceptor(services.clone(), count))
        .add_service(RequestServiceServer::with_interceptor(services, requests))
}

#[tokio::test]
async fn with_the_layer_each_kind_of_call_is_counted_under_its_method() {
    let queue = Queue::in_memory();
    let router = Tonic::builder().layer(PathLayer).add_routes(intercepted(&queue));
    let server = Server::with(|listener| async {
        let incoming = TcpListenerStream::new(listener);
        router.serve_with_incoming(incoming).await.expect("it serves");
    });
    call_each_kind(&channel(&server.await).await).await;
    let expected = [
        ("GRPC /count.v1.CountService/Add", 1),
        ("GRPC /count.v1.CountService/ListDailyTotals", 1),
        ("GRPC /tally.requests.v1.RequestService/ListProducers", 1),
        ("GRPC /tally.requests.v1.RequestService/Record", 1),
    ];
    assert_paths(&queue, expected);
}

#[tokio::test]
async fn without_the_layer_they_are_counted_under_the_name_of_the_service() {
    let queue = Queue::in_memory();
    let router = Tonic::builder().add_routes(intercepted(&queue));
    let server = Server::with(|listener| async {
        let incoming = TcpListenerStream::new(listener);
        router.serve_with_incoming(incoming).await.expect("it serves");
    });
    call_each_kind(&channel(&server.await).await).await;
    let expected =
        [("GRPC count.v1.CountService", 2), ("GRPC tally.requests.v1.RequestService", 2)];
    assert_paths(&queue, expected);
}

#[tokio::test]
async fn in_a_nested_router_the_path_has_the_prefix() {
    let queue = Queue::in_memory();
    let inner = intercepted(&queue).into_axum_router().layer(PathLayer);
    let app = axum::Router::new().nest("/grpc", inner);
    let origin = http::Uri::from_static("http://test/grpc");
    let mut count = CountServiceClient::with_origin(app, origin);
    count.list_daily_totals(ListDailyTotalsRequest::default()).await.expect("unary");
    assert_paths(&queue, [("GRPC /grpc/count.v1.CountService/ListDailyTotals", 1)]);
}

#[tokio::test]
async fn the_path_can_be_told_to_one_service_alone() {
    let queue = Queue::in_memory();
    let counted = queue.interceptor("count.v1.CountService");
    let service = CountServiceServer::with_interceptor(Services::default(), counted);
    let mut count = CountServiceClient::new(Routes::new(PathLayer.layer(service)));
    count.list_daily_totals(ListDailyTotalsRequest::default()).await.expect("unary");
    assert_paths(&queue, [("GRPC /count.v1.CountService/ListDailyTotals", 1)]);
}

#[tokio::test]
async fn in_a_client_the_method_is_known() {
    let queue = Queue::in_memory();
    let counted = queue.interceptor("count.v1.CountService");
    let services = routes(&Services::default());
    let mut count = CountServiceClient::with_interceptor(services, counted);
    count.list_daily_totals(ListDailyTotalsRequest::default()).await.expect("unary");
    assert_paths(&queue, [("GRPC /count.v1.CountService/ListDailyTotals", 1)]);
}

/// As in an interceptor that authenticates first.
#[tokio::test]
async fn within_another_interceptor_it_counts_what_that_one_lets_pass() {
    fn authenticated(
        mut counted: CountInterceptor,
    ) -> impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone {
        move |request| match request.metadata().get("authorization") {
            Some(_) => counted.call(request),
            None => Err(Status::unauthenticated("no token")),
        }
    }

    let queue = Queue::in_memory();
    let interceptor = authenticated(queue.interceptor("count.v1.CountService"));
    let service = CountServiceServer::with_interceptor(Services::default(), interceptor);
    let mut count = CountServiceClient::new(Routes::new(service));
    count.list_daily_totals(ListDailyTotalsRequest::default()).await.expect_err("no token");
    assert_paths(&queue, []);
    let mut request = Request::new(ListDailyTotalsRequest::default());
    request.metadata_mut().insert("authorization", "yes".parse().expect("a value"));
    count.list_daily_totals(request).await.expect("a token");
    // Without a network in between, the service sees the client's extensions.
    assert_paths(&queue, [("GRPC /count.v1.CountService/ListDailyTotals", 1)]);
}
