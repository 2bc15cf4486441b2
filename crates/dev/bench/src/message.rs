//! The messages that a server gets. What changes with the protocol changes here only.

use tally_proto::google::r#type::Date;
use tally_proto::tally::producers::v1::Open;
use tally_proto::tally::requests::v1::record_request::Kind;
use tally_proto::tally::requests::v1::{Batch, QueryTotalsRequest, RecordRequest, Series as Name};
use tally_runtime::Day;
use uuid::Uuid;

use crate::mix::Series;

/// A request: the position of its series in the mix, and its time in microseconds.
pub(crate) type Request = (u32, i64);

/// The names that a stream has given: the number of each series of the mix.
pub(crate) struct Named {
    numbers: Vec<Option<u32>>,
    next: u32,
}

// === impl Named ===

impl Named {
    /// None, of this many series.
    pub(crate) fn none(series: usize) -> Self {
        Self { numbers: vec![None; series], next: 0 }
    }
}

/// The first message of a stream.
pub(crate) fn open(producer: Uuid, epoch: u64, acknowledged: u64) -> RecordRequest {
    let open = Open {
        producer_id: producer.as_bytes().to_vec(),
        epoch,
        claims: vec![1],
        name: "tally-bench".into(),
        acknowledged_sequence: Some(acknowledged),
        acknowledged_at: None,
        take_over: false,
    };
    RecordRequest { kind: Some(Kind::Open(open)) }
}

/// A batch, with those names that its stream lacks.
pub(crate) fn batch(
    sequence: u64,
    series: &[Series],
    requests: &[Request],
    named: &mut Named,
) -> RecordRequest {
    let mut batch = Batch { sequence, ..Batch::default() };
    let mut before = 0;
    for (index, micros) in requests {
        let number = *named.numbers[*index as usize].get_or_insert_with(|| {
            batch.series.push(name(&series[*index as usize]));
            named.next += 1;
            named.next - 1
        });
        batch.number.push(number);
        batch.time_delta.push(micros - before);
        before = *micros;
    }
    batch.count = u32::try_from(requests.len()).expect("a batch is small");
    RecordRequest { kind: Some(Kind::Batch(batch)) }
}

fn name(series: &Series) -> Name {
    Name {
        service: series.service.clone(),
        method: series.method.into(),
        path: series.path.clone(),
        status: u32::from(series.status),
        customer: series.customer.clone(),
    }
}

/// The live totals of a day, by endpoint.
pub(crate) fn live_day(day: Day) -> QueryTotalsRequest {
    let day = Some(date(day));
    QueryTotalsRequest { from: day, to: day, live: true, ..QueryTotalsRequest::default() }
}

pub(crate) fn date(day: Day) -> Date {
    let date = day.date();
    Date {
        year: i32::from(date.year()),
        month: i32::from(date.month()),
        day: i32::from(date.day()),
    }
}
