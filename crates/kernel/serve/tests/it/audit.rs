//! What the log says of calls that only administrators may make.

use std::io;
use std::sync::{Arc, Mutex};

use tally_testkit::eventually;
use tonic::Request;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

use crate::support::{Gate, LIMIT, Running};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

// === impl Log ===

impl Log {
    fn has(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).contains(words)
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whoever hangs up before the answer leaves a line all the same: what was asked for may be done.
#[tokio::test]
async fn a_call_that_nobody_waits_for_is_in_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    // The server runs on this thread.
    let _logging = tracing::subscriber::set_default(subscriber);
    let gate = Gate::new(false);
    let server = Running::start(&gate).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).expect("a URL");
    let mut grpc = tonic::client::Grpc::new(endpoint.connect().await.expect("it listens"));
    let call = async |grpc: &mut tonic::client::Grpc<_>| {
        grpc.ready().await.expect("it is connected");
        let path = "/test.Gate/Rule".parse().expect("a path");
        let codec = ProstCodec::<(), ()>::default();
        grpc.server_streaming(Request::new(()), path, codec).await.map(drop)
    };
    tokio::select! {
        _ = call(&mut grpc) => panic!("the gate is closed"),
        () = eventually("the call has come", LIMIT, async || gate.calls() == 1) => {}
    }
    let line = "audit: administration key=\"(none asked for)\" namespace=0 action=\"/test.Gate/Rule\" \
                result=\"not known: the client went away\" peer=\"127.0.0.1:";
    eventually("it is in the log", LIMIT, async || log.has(line)).await;
    gate.open();
    call(&mut grpc).await.expect("it is answered");
    assert!(log.has("result=\"gRPC status 0\""), "an answer is not 200 of HTTP");
    drop(grpc);
    server.stop().await;
}
