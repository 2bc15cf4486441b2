//! A server with the requests of a small shop.

use crate::support::{Home, Server};

/// Method, path, service, status, customer, days ago, how many.
const COUNTED: &[(&str, &str, &str, &str, &str, i64, &str)] = &[
    ("GET", "/products/{id}", "shop", "200", "acme", 0, "1200"),
    ("GET", "/products/{id}", "shop", "200", "globex", 1, "2410"),
    ("GET", "/products/{id}", "shop", "404", "acme", 1, "31"),
    ("GET", "/products/{id}", "shop", "200", "acme", 40, "900"),
    ("POST", "/carts", "shop", "201", "globex", 2, "340"),
    ("POST", "/carts", "shop", "500", "globex", 2, "12"),
    ("POST", "/carts", "shop", "201", "globex", 35, "700"),
    ("GET", "/search", "search", "200", "", 3, "5021"),
    ("GET", "/search", "search", "304", "", 5, "411"),
    ("GRPC", "/shop.v1.Stock/Take", "stock", "200", "acme", 4, "88"),
    ("GRPC", "/shop.v1.Stock/Take", "stock", "14", "acme", 4, "9"),
];

/// Counts them.
#[track_caller]
pub(crate) fn open(home: &Home) -> Server {
    let server = home.serve(&[]);
    for (method, path, service, status, customer, days, count) in COUNTED {
        let at = (tally_runtime::Clock::now(&tally_runtime::SystemClock).as_second()
            - days * 86_400)
            .to_string();
        let mut arguments = vec!["add", method, path, "--service", service, "--status", status];
        arguments.extend(["--at", &at, "-n", count]);
        if !customer.is_empty() {
            arguments.extend(["--customer", customer]);
        }
        server.ok(&arguments);
    }
    let silent =
        ["rules", "add", "shop is silent", "--service", "shop", "--below", "1", "--in", "15m"];
    server.ok(&silent);
    server
}
