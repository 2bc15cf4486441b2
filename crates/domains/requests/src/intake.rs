//! What `Add` and `Record` have in common: what requests are held against, and the endpoints that they
//! name.

use std::sync::Arc;

use tally_runtime::Clock;

use crate::ahead::Ahead;
use crate::batch::RecordLimits;
use crate::endpoints::Endpoints;
use crate::rows::RowsBuilder;
use crate::validate::Rules;

/// What all streams share.
pub(crate) struct Intake {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) path_bytes_max: usize,
    pub(crate) ahead: Ahead,
    /// What a `Record` stream may bring.
    pub(crate) record: RecordLimits,
}

// === impl Intake ===

impl Intake {
    /// What requests are held against at this moment.
    pub(crate) fn rules(&self) -> Rules {
        let now_micros = self.clock.now().as_microsecond();
        Rules { path_bytes_max: self.path_bytes_max, now_micros }
    }

    /// No rows yet.
    pub(crate) fn builder(&self) -> RowsBuilder {
        RowsBuilder::new(self.endpoints.belief())
    }
}
