//! What a run prints at the end.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::account::{Account, Accounts};
use crate::lanes::Log;
use crate::losses::Losses;
use crate::oracle::{Compared, Verdict};
use crate::stored::{Stored, sum_under};

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
        let totals = &self.stored.tables.totals();
        for (name, account) in &self.accounts {
            let (sent, acknowledged) =
                (account.sent.values().sum::<u64>(), account.acknowledged_total());
            let stored = sum_under(totals, &format!("/{name}/"));
            let processes = account.processes;
            writeln!(out, "  {name:<14}{processes:>10}{sent:>14}{acknowledged:>14}{stored:>14}")?;
        }
        let shared = sum_under(totals, "/shared/");
        writeln!(out, "  {:<52}{shared:>14}", "under shared paths")?;
        let sum = |of: fn(&Account) -> u64| self.accounts.values().map(of).sum::<u64>();
        let (sent, acknowledged) =
            (sum(|account| account.sent.values().sum()), sum(Account::acknowledged_total));
        let stored: u64 = totals.values().sum();
        let dropped: u64 = self.stored.tables.dropped.values().sum();
        writeln!(out, "  {:<24}{sent:>14}{acknowledged:>14}{stored:>14}", "all")?;
        writeln!(out, "  {:<52}{dropped:>14}", "reported as dropped")?;

        if self.losses.times > 0 {
            let unnamed: u64 = self.stored.tables.unnamed().values().sum();
            writeln!(out, "  {:<52}{unnamed:>14}", "stored without a name")?;
            let (lost, most) = (log.lost.load(Ordering::SeqCst), self.losses.sum());
            writeln!(out, "  {:<52}{lost:>14}", "lost by the database, at least")?;
            writeln!(out, "  {:<52}{most:>14}", "lost by the database, at most")?;
        }

        writeln!(out, "\n{:<34}{:>12}{:>14}", "what was checked", "comparisons", "differences")?;
        let all = self.verdict.sum();
        let checks = self.verdict.by_check.iter().map(|(check, compared)| (*check, *compared));
        for (check, Compared { comparisons, differences }) in checks.chain([("all", all)]) {
            writeln!(out, "  {check:<32}{comparisons:>12}{differences:>14}")?;
        }
        writeln!(out, "\nafter {:.1} s:", took.as_secs_f64())?;
        for difference in &self.verdict.differences {
            writeln!(out, "  {difference}")?;
        }
        let listed = self.verdict.differences.len() as u64;
        if all.differences > listed {
            writeln!(out, "  and {} more", all.differences - listed)?;
        }
        writeln!(out, "{}", if self.verdict.passed() { "PASS" } else { "FAIL" })
    }
}
