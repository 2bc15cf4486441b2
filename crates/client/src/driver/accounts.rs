//! The outcome of the requests that the driver took.

use tokio::sync::watch;

use super::notices::Notices;
use crate::ledger::Settled;
use crate::measure;
use crate::producer::Stop;
use crate::progress::{Connection, Progress};
use crate::settings::Settings;

pub(super) struct Accounts {
    progress: watch::Sender<Progress>,
    producer: String,
    taken: u64,
    /// How many batches were refused since the last acknowledgement.
    pub(super) refusals: u32,
    pub(super) notices: Notices,
}

// === impl Accounts ===

impl Accounts {
    pub(super) fn new(
        settings: &Settings,
    ) -> (Self, watch::Receiver<Progress>, watch::Receiver<Option<String>>) {
        let (progress, progresses) = watch::channel(Progress::default());
        let (trouble, troubles) = watch::channel(None);
        let producer = settings.name.clone();
        let notices = Notices::new(settings.address.url.clone(), producer.clone(), trouble);
        let accounts = Self { progress, producer, taken: 0, refusals: 0, notices };
        (accounts, progresses, troubles)
    }

    /// Notes requests that were taken; a flush waits for this.
    pub(super) fn took(&mut self, requests: u64) {
        self.taken += requests;
        self.progress.send_modify(|_| {});
        self.measure();
    }

    pub(super) fn settle(&mut self, settled: Settled) {
        if settled.acknowledged > 0 {
            self.refusals = 0;
            self.notices.note(None);
        }
        if settled != Settled::default() {
            self.progress.send_modify(|progress| {
                progress.acknowledged += settled.acknowledged;
                progress.rejected += settled.rejected;
                progress.in_doubt += settled.in_doubt;
                progress.dropped += settled.dropped;
                progress.spooled += settled.spooled;
                progress.drops_reported += settled.drops_reported;
            });
            measure::settled(&self.producer, settled);
            self.measure();
        }
    }

    /// Notes acknowledged batches that are missing from the server's database.
    pub(super) fn lost(&self, batches: u64) {
        if batches > 0 {
            self.progress.send_modify(|progress| progress.batches_lost += batches);
        }
    }

    /// The producer does not go on.
    pub(super) fn stopped(&mut self, stop: Stop, batches_lost: u64) {
        self.lost(batches_lost);
        self.progress.send_modify(|progress| progress.stopped = Some(stop));
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.progress.borrow().stopped.is_some()
    }

    pub(super) fn connection(&self, connection: Connection) {
        self.progress.send_if_modified(|progress| {
            std::mem::replace(&mut progress.connection, connection) != connection
        });
        measure::connection(&self.producer, connection);
    }

    pub(super) fn close(&mut self, left: Settled) {
        self.settle(left);
        self.notices.given_up(left.in_doubt, left.dropped);
        measure::connection(&self.producer, Connection::Closed);
        measure::unsettled(&self.producer, 0);
        self.progress.send_modify(|progress| {
            progress.connection = Connection::Closed;
            progress.finished = true;
        });
    }

    fn measure(&self) {
        let unsettled = self.taken.saturating_sub(self.progress.borrow().settled());
        measure::unsettled(&self.producer, unsettled);
    }
}
