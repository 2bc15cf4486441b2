//! What is shown before the first request is counted: how to count one.

use maud::{Markup, html};
use tally_serve::pages::snippet;

/// The whole page.
pub(super) fn page(url: &str) -> Markup {
    html! {
        h1 { "Count the first request" }
        (how(url))
    }
}

/// The ways to count, each with something to paste.
pub(super) fn how(url: &str) -> Markup {
    let (credentials, host) = match url.split_once("://") {
        Some(("https", host)) => ("credentials.NewTLS(nil)", host),
        of => ("insecure.NewCredentials()", of.map_or(url, |(_, host)| host)),
    };
    html! {
        p.lead { "Nothing has been counted yet. Paste one of these; this page shows the request within a second or two." }
        div.snippets {
            (snippet("Command line", true, "Counts one request, to see that it works.",
                &format!("tally add GET /hello --server {url}")))
            (snippet("curl", false, "From a script, without a client. A call that is repeated with its key counts once: take a new key for each body, as this does.", &format!(
                "curl {url}/api/v1/requests \\\n  -H 'Content-Type: application/json' \\\n  \
                 -H \"Idempotency-Key: hello-$(date +%s)-$RANDOM\" \\\n  \
                 -d '[{{\"method\": \"GET\", \"path\": \"/hello\", \"status\": 200}}]'")))
            (snippet("Rust", false, "A tower layer counts what a service answers, for axum, tonic and anything else on tower.", &format!(
                "let queue = tally_client::Queue::connect(\"{url}\").await?;\n\
                 let app = Router::new()\n    .route(\"/hello\", get(hello))\n    \
                 .layer(queue.layer());")))
            (snippet("Go", false, "Clients of count.v1 need no change but the address.", &format!(
                "conn, err := grpc.NewClient(\"{host}\",\n    \
                 grpc.WithTransportCredentials({credentials}))\n\
                 client := countv1.NewCountServiceClient(conn)")))
            (snippet("An access log", false, "Reads the logs of nginx, Apache and others, and goes on where it stopped.",
                &format!("tally import /var/log/nginx/access.log --server {url}")))
        }
    }
}
