//! Foreign servers, and Tally behind TLS and a key: each is reported in one sentence that says what
//! to do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use tally_proto::count::v1::count_service_server::{CountService, CountServiceServer};
use tally_proto::count::v1::{
    AddRequest, AddResponse, CountDailyTotalsRequest, CountDailyTotalsResponse,
    GetPeriodTotalsRequest, GetPeriodTotalsResponse, ListDailyTotalsRequest,
    ListDailyTotalsResponse,
};
use tally_testkit::Tls;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::support::{Home, assert_fails, wait_for};

/// Every command that talks to a server.
const COMMANDS: [&[&str]; 6] = [
    &["totals"],
    &["add", "GET", "/a"],
    &["import", "access.log"],
    &["roll-up"],
    &["producers"],
    &["health"],
];

/// An empty SETTINGS frame of HTTP/2, and the answer to the client's.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\0\x04\x01\0\0\0\0";

/// Serves every connection with this function, until the test's process ends.
fn serve(serve: impl Fn(TcpStream) -> std::io::Result<()> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // Ignore clients that disconnect.
            let _ = serve(connection);
        }
    });
    address
}

/// Answers every request with these bytes.
fn answer(bytes: &'static [u8]) -> SocketAddr {
    serve(move |mut connection| {
        let _ = connection.read(&mut [0; 4096])?;
        connection.write_all(bytes)
    })
}

/// An HTTP/2 proxy that answers every call with this status, these headers (by number in HPACK's
/// static table) and this body.
fn http_2(status: &'static str, headers: &'static [(u8, &str)], body: &'static str) -> SocketAddr {
    serve(move |mut connection| {
        connection.read_exact(&mut [0; 24])?;
        connection.write_all(SETTINGS)?;
        loop {
            let mut head = [0; 9];
            connection.read_exact(&mut head)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).expect("it fits")];
            connection.read_exact(&mut payload)?;
            if head[3] == 1 {
                let stream = [head[5], head[6], head[7], head[8]];
                let mut block = literal(8, status);
                for (name, value) in headers {
                    block.extend(literal(*name, value));
                }
                connection.write_all(&frame(1, 4, stream, &block))?;
                connection.write_all(&frame(0, 1, stream, body.as_bytes()))?;
            }
        }
    })
}

/// An unindexed header field with a name from the static table.
fn literal(name: u8, value: &str) -> Vec<u8> {
    let mut field = if name < 15 { vec![name] } else { vec![15, name - 15] };
    field.push(u8::try_from(value.len()).expect("short"));
    field.extend(value.as_bytes());
    field
}

fn frame(kind: u8, flags: u8, stream: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream, payload].concat()
}

/// Asserts that every command prints the same message, with these words.
#[track_caller]
fn assert_said(server: &str, words: &[&str]) {
    let home = Home::sqlite();
    home.file("access.log", crate::support::LOG_LINE);
    for command in COMMANDS {
        let output = home.run(&[command, &["--server", server]].concat());
        let start = format!("error: cannot reach the server at {server}: ");
        assert_fails(&output, 1, &[&[start.as_str()], words].concat());
        for none in ["compression flag", "os error", "frame with invalid size"] {
            assert!(!output.stderr.contains(none), "{none} is in {output:?}");
        }
    }
}

#[test]
fn a_proxy_that_wants_a_login() {
    let address = http_2("401", &[(31, "text/html")], "<html>Log in!</html>");
    assert_said(&format!("http://{address}"), &["wants a login (401 Unauthorized)", "TALLY_KEY"]);
    let address = answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    assert_said(&format!("http://{address}"), &["wants a login (401 Unauthorized)", "TALLY_KEY"]);
}

#[test]
fn a_proxy_that_redirects() {
    let address = http_2("302", &[(46, "https://login.example/")], "");
    let words = ["redirects to https://login.example/ (302 Found)", "--server"];
    assert_said(&format!("http://{address}"), &words);
    let address = answer(b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\n\r\n");
    assert_said(&format!("http://{address}"), &words);
}

#[test]
fn a_page() {
    let address = http_2("200", &[(31, "text/html")], "<html></html>");
    assert_said(&format!("http://{address}"), &["does not speak gRPC (200 OK, text/html)"]);
    let address = http_2("404", &[(31, "application/json")], "{}");
    assert_said(&format!("http://{address}"), &["does not speak gRPC (404 Not Found, application"]);
}

#[test]
fn a_proxy_without_a_server_behind_it() {
    let address = http_2("502", &[(31, "text/html")], "<html></html>");
    let words = ["the proxy there does not reach a server (502 Bad Gateway)"];
    assert_said(&format!("http://{address}"), &words);
}

#[test]
fn a_server_of_http_1_only() {
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html></html>",
    ] {
        let address = answer(bytes);
        assert_said(&format!("http://{address}"), &["HTTP/1 server", "gRPC needs HTTP/2"]);
    }
}

#[test]
fn tls_to_a_plain_server_and_no_tls_to_a_tls_server() {
    let plain = answer(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_said(&format!("https://{plain}"), &["does not speak TLS: write http://"]);
    for bytes in [
        &b"\x15\x03\x01\0\x02\x02\x46"[..],
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\nThe plain HTTP request was sent to HTTPS port",
    ] {
        let address = answer(bytes);
        assert_said(&format!("http://{address}"), &["it wants TLS: write https://"]);
    }
}

#[test]
fn another_program() {
    let address = answer(b"SSH-2.0-OpenSSH_9.2\r\n");
    assert_said(&format!("http://{address}"), &["another program answers there"]);
    let address = answer(b"");
    assert_said(&format!("http://{address}"), &["ends the connection without an answer"]);
}

/// Accepts every call that has the key, and counts nothing.
struct Counting(Option<&'static str>);

#[async_trait]
impl CountService for Counting {
    async fn add(
        &self,
        request: Request<Streaming<AddRequest>>,
    ) -> Result<Response<AddResponse>, Status> {
        let shown = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if self.0.is_some() && shown != self.0 {
            return Err(Status::unauthenticated("who are you?"));
        }
        Ok(Response::new(AddResponse {}))
    }

    async fn count_daily_totals(
        &self,
        _: Request<CountDailyTotalsRequest>,
    ) -> Result<Response<CountDailyTotalsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_daily_totals(
        &self,
        _: Request<ListDailyTotalsRequest>,
    ) -> Result<Response<ListDailyTotalsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_period_totals(
        &self,
        _: Request<GetPeriodTotalsRequest>,
    ) -> Result<Response<GetPeriodTotalsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Runs a gRPC server until the test's process ends.
fn grpc(tls: Option<ServerTlsConfig>, counting: Option<Counting>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        wait_for(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let (_, health) = tonic_health::server::health_reporter();
            let mut server = Server::builder();
            if let Some(tls) = tls {
                server = server.tls_config(tls).expect("certificates");
            }
            let server = server
                .add_service(health)
                .add_optional_service(counting.map(CountServiceServer::new));
            server.serve_with_incoming(incoming).await.expect("it serves");
        });
    });
    address
}

#[test]
fn a_grpc_server_that_is_not_tally() {
    let address = grpc(None, None);
    assert_said(
        &format!("http://{address}"),
        &["a gRPC server answers there, but it is not Tally"],
    );
}

#[test]
fn a_server_behind_tls_that_wants_a_key() {
    let home = Home::sqlite();
    let tls = Tls::generate();
    let client = Tls::for_names(&["client"]);
    let identity = Identity::from_pem(&tls.certificate_pem, &tls.key_pem);
    let server = ServerTlsConfig::new().identity(identity);
    let counting = || Some(Counting(Some("Bearer s3cret")));
    let plain = grpc(Some(server.clone()), counting());
    let mutual =
        grpc(Some(server.client_ca_root(Certificate::from_pem(&client.ca_pem))), counting());
    let ca = home.file("ca.pem", &tls.ca_pem);
    let certificate = home.file("client.pem", &client.certificate_pem);
    let key = home.file("client.key", &client.key_pem);
    let trusting = ["--tls-ca", &ca];
    let shown = ["--tls-client-cert", certificate.as_str(), "--tls-client-key", &key];
    let run = |address: SocketAddr, variables: &[(&str, &str)], flags: &[&str]| {
        let url = format!("https://localhost:{}", address.port());
        let mut command = home.command(&[&["health", "--server", &url], flags].concat());
        command.envs(variables.iter().copied());
        tally_testkit::run(&command, b"", crate::support::LIMIT)
    };
    let with_key = [("TALLY_KEY", "s3cret")];
    let good = run(plain, &with_key, &trusting);
    assert_eq!((good.status.code(), &*good.stdout), (Some(0), "SERVING\n"), "{good:?}");
    let good = run(mutual, &with_key, &[&trusting[..], &shown].concat());
    assert_eq!((good.status.code(), &*good.stdout), (Some(0), "SERVING\n"), "{good:?}");
    let by_environment = [("TALLY_TLS_CA", ca.as_str()), ("TALLY_KEY", "s3cret")];
    assert_eq!(run(plain, &by_environment, &[]).status.code(), Some(0));

    assert_fails(
        &run(plain, &[], &trusting),
        1,
        &["wants a key: give one with TALLY_KEY or --key-file"],
    );
    let wrong = run(plain, &[("TALLY_KEY", "s3cret2")], &trusting);
    assert_fails(&wrong, 1, &["does not accept the key: give another one"]);
    assert_fails(
        &run(plain, &with_key, &[]),
        1,
        &["by no authority that is trusted here", "--tls-ca"],
    );
    assert_fails(
        &run(mutual, &with_key, &trusting),
        1,
        &["--tls-client-cert and --tls-client-key"],
    );
    assert_fails(&run(plain, &with_key, &[&trusting[..], &shown[..2]].concat()), 1, &["both"]);
    assert_fails(&run(plain, &[], &["--tls-ca", &key]), 1, &["no certificate in PEM"]);
    assert_fails(&run(plain, &[], &["--tls-ca", "no.pem"]), 1, &["cannot read no.pem"]);
    let unencrypted = format!("http://{plain}");
    let output = home.run(&["health", "--server", &unencrypted]);
    assert_fails(&output, 1, &["it wants TLS: write https://"]);
}
