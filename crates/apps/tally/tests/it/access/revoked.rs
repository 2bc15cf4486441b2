//! Keys that are revoked while they are used.

use super::*;

#[test]
fn a_revoked_key_ends_streams_and_calls_on_every_server() {
    let home = Home::postgres("access_revoked");
    let servers = [home.serve(KEYS), home.serve(KEYS)];
    let key = create(&home, &["agent", "--scope", "ingest"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut streams = Vec::new();
    let mut senders = Vec::new();
    for server in &servers {
        let (sender, requests) = tokio::sync::mpsc::channel(16);
        let (url, key) = (server.url.clone(), key.clone());
        streams.push(runtime.spawn(async move {
            let mut client = CountServiceClient::connect(url).await.expect("it listens");
            let mut call = Request::new(ReceiverStream::new(requests));
            let value = format!("Bearer {key}").parse().expect("letters and digits");
            call.metadata_mut().insert("authorization", value);
            client.add(call).await
        }));
        runtime.block_on(sender.send(request("/a"))).expect("it is read");
        senders.push(sender);
    }
    let counted = eventually_blocking(LIMIT, || home.stored() == 2);
    assert_eq!(counted, Ok(()), "both streams count");
    revoke(&home, "agent");
    for stream in streams {
        let ended = runtime.block_on(async { timeout(LIMIT, stream).await });
        let ended = ended.expect("it ends").expect("no panic").expect_err("it is revoked");
        assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
        assert_eq!(trailer(&ended, REASON_TRAILER), Some(reason::KEY_REVOKED), "{ended:?}");
        assert_eq!(number(&ended, COUNTED_TRAILER), Some(1), "{ended:?}");
    }
    // Each server has read the keys since, so no call succeeds any more.
    for server in &servers {
        let mut command = server.command(&["add", "GET", "/a"]);
        let refused = run_with(command.env("TALLY_KEY", &key), b"", LIMIT, None);
        let why = format!(
            "error: the server at {} does not accept the key: the key agent is revoked: give another \
             one with",
            server.url
        );
        assert!(refused.stderr.contains(&why), "{refused:?}");
        server.stop();
    }
    assert_eq!(home.stored(), 2);
}

/// Calls again and again until one is refused, and then some more. Tells `first` of the first that
/// goes well.
async fn call_until_refused(
    channel: Channel,
    key: String,
    first: oneshot::Sender<()>,
) -> Result<(), String> {
    let mut first = Some(first);
    let mut passed = 0;
    let mut refused = 0;
    while refused < 20 {
        let called = call(&channel, "/count.v1.CountService/Add", Some(&key)).await;
        let why = called.as_ref().err().and_then(|status| trailer(status, REASON_TRAILER));
        match fate_of_call(&called) {
            Fate::Unknown if why == Some(reason::KEY_REVOKED) => refused += 1,
            Fate::Passed if refused == 0 => {
                passed += 1;
                if let Some(first) = first.take() {
                    first.send(()).expect("it is awaited");
                }
            }
            _ => return Err(format!("after {passed} and {refused} refusals: {called:?}")),
        }
    }
    Ok(())
}

/// Opens a producer, and returns how its stream ends.
async fn record(url: String, key: String, opened: oneshot::Sender<()>) -> Status {
    let mut client = RequestServiceClient::connect(url).await.expect("it listens");
    let open = producers::Open {
        producer_id: vec![7; 16],
        claims: vec![5],
        name: "agent".into(),
        ..Default::default()
    };
    let open = RecordRequest { kind: Some(Kind::Open(open)) };
    let messages = tokio_stream::iter([open]).chain(tokio_stream::pending());
    let mut call = Request::new(messages);
    let value = format!("Bearer {key}").parse().expect("letters and digits");
    call.metadata_mut().insert("authorization", value);
    let mut answers = client.record(call).await.expect("it is valid").into_inner();
    answers.message().await.expect("it is valid").expect("it is opened");
    opened.send(()).expect("it is awaited");
    answers.message().await.expect_err("it is revoked")
}

#[test]
fn a_key_that_is_revoked_under_load_is_accepted_nowhere_again() {
    let home = Home::postgres("access_load");
    let servers = [home.serve(KEYS), home.serve(KEYS)];
    let key = create(&home, &["agent", "--scope", "ingest"]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut loads = Vec::new();
    for server in &servers {
        let endpoint = Channel::from_shared(server.url.clone()).expect("a URL");
        let channel = runtime.block_on(endpoint.connect()).expect("it listens");
        for _ in 0..4 {
            let (first, passes) = oneshot::channel();
            let load = call_until_refused(channel.clone(), key.clone(), first);
            loads.push((runtime.spawn(load), passes));
        }
    }
    let mut ends = Vec::new();
    for (load, passes) in loads {
        let passed = runtime.block_on(async { timeout(LIMIT, passes).await });
        passed.expect("a call goes well").expect("no panic");
        ends.push(load);
    }
    let (opened, is_open) = oneshot::channel();
    let recorded = runtime.spawn(record(servers[0].url.clone(), key.clone(), opened));
    let opened = runtime.block_on(async { timeout(LIMIT, is_open).await });
    opened.expect("it opens").expect("no panic");
    revoke(&home, "agent");
    for load in ends {
        let ended = runtime.block_on(async { timeout(LIMIT, load).await });
        ended.expect("it ends").expect("no panic").expect("no call after a refusal");
    }
    let ended = runtime.block_on(async { timeout(LIMIT, recorded).await });
    let ended = ended.expect("it ends").expect("no panic");
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
    assert_eq!(trailer(&ended, REASON_TRAILER), Some(reason::KEY_REVOKED), "{ended:?}");
    for server in &servers {
        server.stop();
    }
}
