//! Counting requests: from a stream of single requests to totals by day.
//!
//! | file | what it owns |
//! |---|---|
//! | `ahead.rs` | clients' times that are ahead of the server's clock |
//! | `batch.rs` | one batch of a `Record` stream: from a message to rows |
//! | `bench.rs` | single steps of taking requests in, for benchmarks |
//! | `books.rs` | what folds, roll-ups and imports add to days and months |
//! | `changes.rs`, `changes/` | merges and forgets: what is asked for, what is wrong with it, and what a store writes of it |
//! | `corrections.rs` | what people add to a total, or take from it |
//! | `dates.rs`, `dates/` | years, months, days and ranges of them: as calls have them, and as people write them |
//! | `domain.rs` | the domain as an app lists it |
//! | `due.rs` | which trays are due to be folded, and which ones others hold |
//! | `error.rs` | what can go wrong, and what it means to the client |
//! | `grpc.rs` | `count.v1.CountService`, and `RequestService`, `BookService` and `RuleService` of `tally.requests.v1` |
//! | `house.rs` | the store with the names that its batches need, and its producers |
//! | `http.rs`, `http/` | the HTTP API |
//! | `import_count.rs` | importing the Go server's tables |
//! | `intake.rs` | what requests are checked against |
//! | `keeper.rs` | what one server does for all: folds, the schedule, settling, pruning |
//! | `methods.rs` | methods as people write and read them |
//! | `metrics.rs`, `metrics/` | what a scrape is told of requests |
//! | `missing.rs` | what is known to be missing from an answer |
//! | `migrations.rs` | the tables, for each kind of database |
//! | `listing.rs` | the names that requests are counted under: which are asked for, in order |
//! | `model.rs` | series, endpoint, quarter, day |
//! | `packed.rs` | counts of a day's quarters or a month's days in one text |
//! | `pages.rs`, `pages/` | the pages: what is asked for, what is read, how it looks |
//! | `parameters.rs` | the query parameters that the API and the pages share |
//! | `periods.rs`, `periods/` | time zones, ranges of dates and their periods, as quarters |
//! | `protobuf.rs` | protobuf's encoding, for messages that are read in place |
//! | `record.rs` | how the batches of a `Record` stream become rows |
//! | `renaming.rs`, `renaming/` | what becomes of series, by merges and forgets |
//! | `resolution.rs` | how precisely times are kept |
//! | `rows.rs` | rows as they travel from a stream to the store |
//! | `rules.rs`, `rules/` | rules about counts, and judging them |
//! | `schedule.rs` | when a server rolls up by itself |
//! | `selection.rs` | which series a merge or a forget is asked for |
//! | `series.rs`, `series/` | from a series to an id, without a lock or an allocation; how many there may be, and which have moved |
//! | `service.rs`, `service/` | the domain's operations, and the parts that they are made of |
//! | `settings.rs` | the domain's settings: as flags and variables, and checked |
//! | `store.rs`, `store/` | what every database must promise, and which one does it how |
//! | `submission.rs` | entries that come in one call: from what they say to rows, and their fingerprint |
//! | `text.rs` | texts that people write into corrections, merges and forgets |
//! | `totals.rs` | a question about totals, and its answer in order |

mod ahead;
mod batch;
#[doc(hidden)]
pub mod bench;
mod books;
mod changes;
mod corrections;
pub mod dates;
mod domain;
mod due;
mod error;
mod grpc;
mod house;
mod http;
mod import_count;
mod intake;
mod keeper;
mod listing;
pub mod methods;
mod metrics;
mod migrations;
mod missing;
pub mod model;
pub mod packed;
mod pages;
mod parameters;
pub mod periods;
mod protobuf;
mod record;
mod renaming;
mod resolution;
mod rows;
mod rules;
mod schedule;
mod selection;
mod series;
mod service;
mod settings;
pub mod store;
mod submission;
mod text;
mod totals;

use domain::NAME;

pub use batch::{RecordLimits, decode_batch};
pub use domain::DOMAIN;
pub use import_count::{ImportCount, Imported, import_count};
pub use migrations::MIGRATIONS;
pub use model::{Day, DayRange, Endpoint, Named, Series, SeriesId};
pub use resolution::{InvalidResolution, Resolution};
pub use rows::{Row, Rows};
pub use rules::Judge;
pub use schedule::{InvalidSchedule, Schedule};
pub use service::Service;
pub use settings::{NamesArgs, Settings};
pub use totals::{Filter, Group, GroupBy, Query, StatusIs, TooMany, Totals};
