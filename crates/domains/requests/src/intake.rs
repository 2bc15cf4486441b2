//! What `Add` and `Record` streams share.

use std::sync::Arc;

use tally_runtime::Clock;

use crate::ahead::Ahead;
use crate::batch::RecordLimits;
use crate::endpoints::Endpoints;
use crate::rows::RowsBuilder;
use crate::validate::Rules;

/// The endpoints, and what requests are checked against.
pub(crate) struct Intake {
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) path_bytes_max: usize,
    pub(crate) ahead: Ahead,
    pub(crate) record: RecordLimits,
}

// === impl Intake ===

impl Intake {
    /// The rules at this moment.
    pub(crate) fn rules(&self) -> Rules {
        let now_micros = self.clock.now().as_microsecond();
        Rules { path_bytes_max: self.path_bytes_max, now_micros }
    }

    /// For rows under the present belief.
    pub(crate) fn builder(&self) -> RowsBuilder {
        RowsBuilder::new(self.endpoints.belief())
    }
}
