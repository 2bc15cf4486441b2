//! gRPC by the layer: real tonic services with all four kinds of call.

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use futures_util::{Stream, StreamExt as _, stream};
use tally_client::Queue;
use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::count::v1::count_service_server::{CountService, CountServiceServer};
use tally_proto::count::v1::{
    AddRequest, AddResponse, CountDailyTotalsRequest, CountDailyTotalsResponse,
    GetPeriodTotalsRequest, GetPeriodTotalsResponse, ListDailyTotalsRequest,
    ListDailyTotalsResponse,
};
use tally_proto::tally::producers::v1::Acknowledgement;
use tally_proto::tally::requests::v1::request_service_client::RequestServiceClient;
use tally_proto::tally::requests::v1::request_service_server::{
    RequestService, RequestServiceServer,
};
use tally_proto::tally::requests::v1::{
    ClearSetbacksRequest, ClearSetbacksResponse, FoldRequest, FoldResponse, ForgetProducerRequest,
    ForgetProducerResponse, ListProducersRequest, ListProducersResponse, QueryTotalsRequest,
    QueryTotalsResponse, RecordRequest,
};
use tokio::sync::Notify;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::{Channel, Server as Tonic};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::{Layer as _, ServiceExt as _};

use super::support::{Server, assert_counts, request};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers each kind of call, and notes the call and the drop of the endless one.
#[derive(Clone, Default)]
pub(crate) struct Services {
    called: Arc<Notify>,
    dropped: Arc<Notify>,
}

/// Signals its drop.
struct Guard(Arc<Notify>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tonic::async_trait]
impl CountService for Services {
    /// Takes a stream.
    async fn add(
        &self,
        request: Request<Streaming<AddRequest>>,
    ) -> Result<Response<AddResponse>, Status> {
        let mut requests = request.into_inner();
        while requests.message().await?.is_some() {}
        Ok(Response::new(Default::default()))
    }

    /// One answer to one message.
    async fn list_daily_totals(
        &self,
        _: Request<ListDailyTotalsRequest>,
    ) -> Result<Response<ListDailyTotalsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    /// Fails.
    async fn get_period_totals(
        &self,
        _: Request<GetPeriodTotalsRequest>,
    ) -> Result<Response<GetPeriodTotalsResponse>, Status> {
        Err(Status::not_found("on purpose"))
    }

    /// Never answers.
    async fn count_daily_totals(
        &self,
        _: Request<CountDailyTotalsRequest>,
    ) -> Result<Response<CountDailyTotalsResponse>, Status> {
        let _guard = Guard(Arc::clone(&self.dropped));
        self.called.notify_one();
        std::future::pending().await
    }
}

#[tonic::async_trait]
impl RequestService for Services {
    type RecordStream = Answers<Acknowledgement>;
    type ListProducersStream = Answers<ListProducersResponse>;
    type QueryTotalsStream = Answers<QueryTotalsResponse>;

    /// Answers each message of a stream.
    async fn record(
        &self,
        request: Request<Streaming<RecordRequest>>,
    ) -> Result<Response<Self::RecordStream>, Status> {
        let answer = |message: Result<_, _>| message.map(|_| Acknowledgement::default());
        Ok(Response::new(request.into_inner().map(answer).boxed()))
    }

    /// Answers with a stream.
    async fn list_producers(
        &self,
        _: Request<ListProducersRequest>,
    ) -> Result<Response<Self::ListProducersStream>, Status> {
        let answers = [Ok(ListProducersResponse::default()), Ok(ListProducersResponse::default())];
        Ok(Response::new(stream::iter(answers).boxed()))
    }

    async fn forget_producer(
        &self,
        _: Request<ForgetProducerRequest>,
    ) -> Result<Response<ForgetProducerResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn clear_setbacks(
        &self,
        _: Request<ClearSetbacksRequest>,
    ) -> Result<Response<ClearSetbacksResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn fold(&self, request: Request<FoldRequest>) -> Result<Response<FoldResponse>, Status> {
        panic!("on purpose: {request:?}")
    }

    /// Answers with a stream that breaks, or with one of live totals that never ends.
    async fn query_totals(
        &self,
        request: Request<QueryTotalsRequest>,
    ) -> Result<Response<Self::QueryTotalsStream>, Status> {
        if request.into_inner().live {
            let guard = Guard(Arc::clone(&self.dropped));
            let first = stream::iter([Ok(QueryTotalsResponse::default())]);
            let never = stream::once(async move {
                let _guard = guard;
                std::future::pending().await
            });
            return Ok(Response::new(first.chain(never).boxed()));
        }
        let answers = [Ok(QueryTotalsResponse::default()), Err(Status::aborted("on purpose"))];
        Ok(Response::new(stream::iter(answers).boxed()))
    }
}

/// Serves the test's services.
pub(crate) fn routes(services: &Services) -> Routes {
    Routes::new(CountServiceServer::new(services.clone()))
        .add_service(RequestServiceServer::new(services.clone()))
}

/// Serves the services with the layer.
async fn counted(queue: &Queue, services: &Services) -> Server {
    let router = Tonic::builder().layer(queue.layer()).add_routes(routes(services));
    Server::with(|listener| async {
        let incoming = TcpListenerStream::new(listener);
        router.serve_with_incoming(incoming).await.expect("it serves");
    })
    .await
}

pub(crate) async fn channel(server: &Server) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", server.address));
    endpoint.expect("a URL").connect().await.expect("it listens")
}

/// Completes each kind of call.
pub(crate) async fn call_each_kind(channel: &Channel) {
    let mut count = CountServiceClient::new(channel.clone());
    let mut requests = RequestServiceClient::new(channel.clone());
    count.list_daily_totals(ListDailyTotalsRequest::default()).await.expect("unary");
    let three = stream::repeat_with(AddRequest::default).take(3);
    count.add(three).await.expect("a stream of the client");
    let listed = requests.list_producers(ListProducersRequest::default()).await;
    assert_eq!(listed.expect("a stream of the server").into_inner().count().await, 2);
    let five = stream::repeat_with(RecordRequest::default).take(5);
    let recorded = requests.record(five).await;
    assert_eq!(recorded.expect("streams both ways").into_inner().count().await, 5);
}

#[tokio::test]
async fn each_kind_of_call_is_counted_once() {
    let queue = Queue::in_memory();
    let server = counted(&queue, &Services::default()).await;
    call_each_kind(&channel(&server).await).await;
    let expected = [
        ("GRPC /count.v1.CountService/Add 200", 1),
        ("GRPC /count.v1.CountService/ListDailyTotals 200", 1),
        ("GRPC /tally.requests.v1.RequestService/ListProducers 200", 1),
        ("GRPC /tally.requests.v1.RequestService/Record 200", 1),
    ];
    assert_counts(&queue, expected);
}

#[tokio::test]
async fn errors_are_counted_once() {
    let queue = Queue::in_memory();
    let server = counted(&queue, &Services::default()).await;
    let channel = channel(&server).await;
    let mut count = CountServiceClient::new(channel.clone());
    let failed = count.get_period_totals(GetPeriodTotalsRequest::default()).await;
    assert_eq!(failed.expect_err("on purpose").code(), Code::NotFound);
    let mut requests = RequestServiceClient::new(channel);
    let totals = requests.query_totals(QueryTotalsRequest::default()).await;
    let mut totals = totals.expect("it breaks later").into_inner();
    assert!(totals.next().await.expect("a first answer").is_ok());
    let broken = totals.next().await.expect("an error").expect_err("on purpose");
    assert_eq!(broken.code(), Code::Aborted);
    let expected = [
        ("GRPC /count.v1.CountService/GetPeriodTotals 5", 1),
        ("GRPC /tally.requests.v1.RequestService/QueryTotals 10", 1),
    ];
    assert_counts(&queue, expected);
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_counted_once() {
    let queue = Queue::in_memory();
    let services = Services::default();
    let server = counted(&queue, &services).await;
    let mut count = CountServiceClient::new(channel(&server).await);
    tokio::select! {
        answer = count.count_daily_totals(CountDailyTotalsRequest::default()) => {
            unreachable!("it never answers: {answer:?}")
        }
        () = services.called.notified() => {}
    }
    services.dropped.notified().await;
    // No answer says whether there is such a method.
    assert_counts(&queue, [("GRPC _unmatched 499", 1)]);
}

/// A stream that the client leaves in the middle.
#[tokio::test]
async fn a_stream_that_is_cancelled_is_counted_once() {
    let queue = Queue::in_memory();
    let services = Services::default();
    let server = counted(&queue, &services).await;
    let mut requests = RequestServiceClient::new(channel(&server).await);
    let endless = QueryTotalsRequest { live: true, ..Default::default() };
    let mut answers = requests.query_totals(endless).await.expect("a head").into_inner();
    assert!(answers.next().await.expect("an answer").is_ok());
    assert_counts(&queue, []);
    drop(answers);
    services.dropped.notified().await;
    assert_counts(&queue, [("GRPC /tally.requests.v1.RequestService/QueryTotals 499", 1)]);
}

#[tokio::test]
async fn a_panic_is_counted_once() {
    let queue = Queue::in_memory();
    let server = counted(&queue, &Services::default()).await;
    let mut requests = RequestServiceClient::new(channel(&server).await);
    requests.fold(FoldRequest::default()).await.expect_err("on purpose");
    assert_counts(&queue, [("GRPC _unmatched 500", 1)]);
}

#[tokio::test]
async fn a_deadline_is_counted_once() {
    let queue = Queue::in_memory();
    let services = Services::default();
    let server = counted(&queue, &services).await;
    let mut count = CountServiceClient::new(channel(&server).await);
    let mut request = Request::new(CountDailyTotalsRequest::default());
    request.set_timeout(std::time::Duration::from_millis(1));
    count.count_daily_totals(request).await.expect_err("it never answers");
    services.dropped.notified().await;
    // tonic's own limit is outside of every layer.
    assert_counts(&queue, [("GRPC _unmatched 499", 1)]);
}

/// Clients can invent methods, and each would fill the list of series.
#[tokio::test]
async fn a_method_counts_under_its_path_once_an_answer_confirms_it() {
    let queue = Queue::in_memory();
    let layer = queue.layer();
    let only = Routes::new(CountServiceServer::new(Services::default()));
    let mut requests = RequestServiceClient::new(layer.layer(only));
    let refused = requests.list_producers(ListProducersRequest::default()).await;
    assert_eq!(refused.expect_err("not there").code(), Code::Unimplemented);
    assert_counts(&queue, [("GRPC _unmatched 12", 1)]);
    let mut requests = RequestServiceClient::new(layer.layer(routes(&Services::default())));
    let listed = requests.list_producers(ListProducersRequest::default()).await.expect("a head");
    assert_eq!(listed.into_inner().count().await, 2);
    // From now on, whatever becomes of its calls.
    let only = Routes::new(CountServiceServer::new(Services::default()));
    let mut requests = RequestServiceClient::new(layer.layer(only));
    requests.list_producers(ListProducersRequest::default()).await.expect_err("not there");
    let expected = [
        ("GRPC /tally.requests.v1.RequestService/ListProducers 12", 1),
        ("GRPC /tally.requests.v1.RequestService/ListProducers 200", 1),
        ("GRPC _unmatched 12", 1),
    ];
    assert_counts(&queue, expected);
}

/// A service of HTTP alone answers them, too.
#[tokio::test]
async fn what_only_claims_to_be_grpc_counts_under_its_route() {
    let queue = Queue::in_memory();
    let user = axum::routing::post(|| async { "no call" });
    let app = axum::Router::new().route("/users/{id}", user).layer(queue.layer());
    for at in 0..100 {
        for uri in [format!("/users/{at}"), format!("/scan{at}")] {
            let mut call = request("POST", &uri);
            let content_type = http::HeaderValue::from_static("application/grpc");
            call.headers_mut().insert("content-type", content_type);
            let Ok(answer) = app.clone().oneshot(call).await;
            axum::body::to_bytes(answer.into_body(), 10).await.expect("a short body");
        }
    }
    assert_counts(&queue, [("GRPC /users/{id} 2", 100), ("GRPC _unmatched 404", 100)]);
}

/// In tonic the first layer is the outermost.
#[tokio::test]
async fn before_another_layer_it_counts_what_that_one_refuses() {
    let refuses = tonic::service::InterceptorLayer::new(|_: Request<()>| {
        Err::<Request<()>, _>(Status::unauthenticated("on purpose"))
    });
    for is_first in [true, false] {
        let queue = Queue::in_memory();
        let routes = routes(&Services::default());
        let server = Server::with(|listener| {
            let incoming = TcpListenerStream::new(listener);
            let counts = queue.layer();
            async move {
                let served = match is_first {
                    true => {
                        let mut router = Tonic::builder().layer(counts).layer(refuses);
                        router.add_routes(routes).serve_with_incoming(incoming).await
                    }
                    false => {
                        let mut router = Tonic::builder().layer(refuses).layer(counts);
                        router.add_routes(routes).serve_with_incoming(incoming).await
                    }
                };
                served.expect("it serves");
            }
        })
        .await;
        let mut count = CountServiceClient::new(channel(&server).await);
        let refused = count.list_daily_totals(ListDailyTotalsRequest::default()).await;
        assert_eq!(refused.expect_err("on purpose").code(), Code::Unauthenticated);
        match is_first {
            true => assert_counts(&queue, [("GRPC _unmatched 16", 1)]),
            false => assert_counts(&queue, []),
        }
    }
}

#[tokio::test]
async fn around_one_service_only_that_one_is_counted() {
    let queue = Queue::in_memory();
    let services = Services::default();
    // A counted service has the inner service's name.
    let counted = queue.layer().layer(CountServiceServer::new(services.clone()));
    let routes = Routes::new(counted).add_service(RequestServiceServer::new(services));
    let mut count = CountServiceClient::new(routes.clone());
    count.list_daily_totals(ListDailyTotalsRequest::default()).await.expect("unary");
    let mut requests = RequestServiceClient::new(routes);
    requests.list_producers(ListProducersRequest::default()).await.expect("an answer");
    assert_counts(&queue, [("GRPC /count.v1.CountService/ListDailyTotals 200", 1)]);
}

#[tokio::test]
async fn a_client_is_counted_as_a_service_is() {
    let queue = Queue::in_memory();
    let client = queue.layer().layer(routes(&Services::default()));
    let mut count = CountServiceClient::new(client);
    count.list_daily_totals(ListDailyTotalsRequest::default()).await.expect("unary");
    assert_counts(&queue, [("GRPC /count.v1.CountService/ListDailyTotals 200", 1)]);
}

#[tokio::test]
async fn what_is_not_grpc_is_not_counted_as_such() {
    let queue = Queue::in_memory();
    let app = routes(&Services::default()).into_axum_router();
    let app = app.route("/hello", axum::routing::get(|| async { Body::empty() }));
    let app = app.layer(queue.layer());
    for (method, uri) in [("GET", "/hello"), ("GET", "/count.v1.CountService/Add")] {
        let Ok(_) = app.clone().oneshot(request(method, uri)).await;
    }
    let expected = [("GET /count.v1.CountService/{*rest} 200", 1), ("GET /hello 200", 1)];
    assert_counts(&queue, expected);
    let mut count = CountServiceClient::new(app);
    count.list_daily_totals(ListDailyTotalsRequest::default()).await.expect("unary");
    assert_eq!(queue.counts().len(), 3);
}
