//! Lines to copy: for those who pay, and for those who look for the first time.

use maud::{Markup, html};
use tally_serve::pages::{Frame, snippet};

use super::NEW;
use crate::model::Debt;
use crate::schedule::Schedule;

/// What is shown before there is a debt.
pub(super) fn first(url: &str) -> Markup {
    let add = format!(
        "tally debts add backup --cron '0 3 * * *' --tz Europe/Berlin --grace 1h --server {url}\n\
         tally debts run backup --server {url} -- /usr/local/bin/backup.sh"
    );
    html! {
        p.lead {
            "A debt is an expected event: a cron job that must run, a heartbeat, a deployment that must \
             finish. There are none yet. Paste this, or "
            a href=(NEW) { "fill in a form" } "."
        }
        pre tabindex="0" { code { (add) } }
    }
}

/// A command of `tally debts` for this server, for a browser that only looks.
pub(super) fn command(words: &str, frame: &Frame) -> Markup {
    html! { pre tabindex="0" { code { "tally debts " (words) " --server " (frame.url()) } } }
}

/// How to pay a debt.
pub(super) fn section(debt: &Debt, badge: &str, frame: &Frame) -> Markup {
    let slug = &debt.definition.slug;
    let url = frame.url();
    let has_keys = frame.caller().key().is_some();
    let key = if has_keys { " \\\n  -H \"Authorization: Bearer $TALLY_KEY\"" } else { "" };
    html! {
        section aria-labelledby="paying" {
            header { h2 #paying { "How to pay it" } }
            div.snippets {
                (snippet("Around a command", true, "Tells that it begins and how it ended. The command runs even if Tally is away.",
                    &format!("tally debts run {slug} --server {url} -- /usr/local/bin/{slug}")))
                @if let Some(line) = crontab(debt, &url) {
                    (snippet("crontab", false, "The line for this schedule.", &line))
                }
                (snippet("systemd", false, "In the unit of the service; a timer starts it.", &format!(
                    "[Service]\nType=oneshot\nEnvironment=TALLY_SERVER={url}\n\
                     ExecStart=tally debts run {slug} --quiet -- /usr/local/bin/{slug}")))
                (snippet("curl", false, "From anywhere, when it is done.", &format!(
                    "curl -m 10 --retry 5 {url}/api/v1/debts/{slug}/payments{key} \\\n  \
                     -H 'Content-Type: application/json' \\\n  \
                     -H \"Idempotency-Key: {slug}-$(date +%s)-$$\" \\\n  -d '{{}}'")))
                (snippet("Badge", false, "How it stands, as an image for a page elsewhere. Whoever knows its address sees it, without a key.",
                    &format!("![{slug}]({url}{badge})")))
            }
            @if has_keys {
                p.muted { "This server asks for keys: give one with the scope ingest in " code { "TALLY_KEY" } "." }
            }
        }
    }
}

/// A crontab has five fields, and the zone of its machine.
fn crontab(debt: &Debt, url: &str) -> Option<String> {
    let Schedule::Cron(cron) = &debt.definition.terms.schedule else { return None };
    let slug = &debt.definition.slug;
    let has_five = cron.text().split_whitespace().count() == 5 || cron.text().starts_with('@');
    has_five.then(|| {
        format!(
            "# The machine's zone must be {}.\n\
             {}  TALLY_SERVER={url} tally debts run {slug} --quiet -- /usr/local/bin/{slug}",
            cron.zone(),
            cron.text()
        )
    })
}
