//! What a run prints at the end.

use std::fmt::Write as _;
use std::time::Duration;

use crate::account::{Account, Accounts};
use crate::lanes::Log;
use crate::losses::Losses;
use crate::oracle::Verdict;
use crate::stored::Stored;

/// The outcome of a run.
pub(crate) struct Report {
    pub(crate) accounts: Accounts,
    pub(crate) losses: Losses,
    pub(crate) stored: Stored,
    pub(crate) verdict: Verdict,
}

// === impl Report ===

impl Report {
    pub(crate) fn write(&self, log: &Log, took: Duration, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n{:<34}{:>12}", "what was done", "times")?;
        for (name, count) in log.counts() {
            writeln!(out, "  {name:<32}{count:>12}")?;
        }
        let network = log.count("network: ");
        writeln!(out, "  {:<32}{network:>12}", "network, all faults")?;

        writeln!(
            out,
            "\n{:<16}{:>10}{:>14}{:>14}{:>14}",
            "client", "processes", "sent", "acknowledged", "stored"
        )?;
        for (name, account) in &self.accounts {
            let own = format!("/{name}/");
            let of_client =
                self.stored.tables.totals.iter().filter(|(key, _)| key.path.starts_with(&own));
            let (sent, acknowledged) =
                (account.sent.values().sum::<u64>(), account.acknowledged_total());
            let stored: u64 = of_client.map(|(_, count)| count).sum();
            let processes = account.processes;
            writeln!(out, "  {name:<14}{processes:>10}{sent:>14}{acknowledged:>14}{stored:>14}")?;
        }
        let shared =
            self.stored.tables.totals.iter().filter(|(key, _)| key.path.starts_with("/shared/"));
        let shared: u64 = shared.map(|(_, count)| count).sum();
        writeln!(out, "  {:<52}{shared:>14}", "under shared paths")?;
        let sum = |of: fn(&Account) -> u64| self.accounts.values().map(of).sum::<u64>();
        let (sent, acknowledged) =
            (sum(|account| account.sent.values().sum()), sum(Account::acknowledged_total));
        let stored: u64 = self.stored.tables.totals.values().sum();
        let dropped: u64 = self.stored.tables.dropped.values().sum();
        writeln!(out, "  {:<24}{sent:>14}{acknowledged:>14}{stored:>14}", "all")?;
        writeln!(out, "  {:<52}{dropped:>14}", "reported as dropped")?;

        if self.losses.times > 0 {
            let unnamed: u64 = self.stored.tables.unnamed.values().sum();
            writeln!(out, "  {:<52}{unnamed:>14}", "stored without a name")?;
            let (lost, most) = (log.lost(), self.losses.sum());
            writeln!(out, "  {:<52}{lost:>14}", "lost by the database, at least")?;
            writeln!(out, "  {:<52}{most:>14}", "lost by the database, at most")?;
        }

        writeln!(out, "\n{:<34}{:>12}", "what was checked", "comparisons")?;
        for (check, count) in &self.verdict.by_check {
            writeln!(out, "  {check:<32}{count:>12}")?;
        }
        writeln!(out, "  {:<32}{:>12}", "all", self.verdict.comparisons)?;
        writeln!(out, "\nafter {:.1} s:", took.as_secs_f64())?;
        for difference in &self.verdict.differences {
            writeln!(out, "  {difference}")?;
        }
        if self.verdict.more > 0 {
            writeln!(out, "  and {} more", self.verdict.more)?;
        }
        writeln!(out, "{}", if self.verdict.passed() { "PASS" } else { "FAIL" })
    }
}
