//! A request of a known endpoint allocates nothing, on the thread that counts it.

use allocation_counter::measure;
use tally_client::Method;

use crate::mock::Mock;

#[tokio::test]
async fn counting_a_known_endpoint_allocates_nothing() {
    let server = Mock::good().start();
    let queue = server.queue().connect().await.expect("a queue");
    let hello = queue.endpoint(Method::GET, "/hello");
    queue.try_record(hello).expect("room");
    queue.flush().await.expect("everything");
    for _ in 0..50 {
        let allocations = measure(|| {
            for _ in 0..500 {
                let hello = queue.endpoint(Method::GET, "/hello");
                queue.try_record(hello).expect("room");
            }
        });
        assert_eq!(allocations.count_total, 0);
        // Sent chunks are reused.
        queue.flush().await.expect("everything");
    }
    assert_eq!(queue.close().await.acknowledged, 25_001);
}
