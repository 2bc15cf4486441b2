//! What is shown before there is a timeline.

use maud::{Markup, html};
use tally_serve::pages::snippet;

/// Lines to copy.
pub(super) fn how(url: &str) -> Markup {
    html! {
        p.lead {
            "A timeline is one run of a process: a deployment, a build, a server's start. It is drawn while it runs. \
             There is none yet. Paste one of these."
        }
        div.snippets {
            (snippet("Command line", true, "Tells that an event starts and ends. Whoever does it need not be the same process, nor on the same host.",
                &format!("tally timelines start deploy db.migrate --server {url}\n\
                          tally timelines end deploy db.migrate --server {url}")))
            (snippet("curl", false, "From anywhere. The same again changes nothing.", &format!(
                "curl {url}/api/v1/timelines \\\n  -H 'Content-Type: application/json' \\\n  \
                 -d '{{\"kind\": \"start\", \"context\": \"deploy\", \"name\": \"db.migrate\"}}'")))
        }
    }
}
