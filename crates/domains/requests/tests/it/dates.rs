//! Rolling up and listing by date: the answers, and refused dates.

use tally_proto::count::v1::count_service_client::CountServiceClient;
use tally_proto::count::v1::{
    CountDailyTotalsRequest, GetPeriodTotalsRequest, ListDailyTotalsRequest, MethodCount,
};
use tally_proto::google::r#type::Date;
use tally_testkit::TestDatabase;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::backend::NOW;
use crate::server::{Counting, get, request, settings};

type Client = CountServiceClient<Channel>;
type Answer = Result<Vec<MethodCount>, Status>;

fn date(year: i32, month: i32, day: i32) -> Option<Date> {
    Some(Date { year, month, day })
}

/// A total with the date of an answer by day.
fn count(method: i32, path: &str, count: i64, date: Option<Date>) -> MethodCount {
    MethodCount { method, path: path.to_owned(), count, date }
}

async fn roll_up(client: &mut Client, date: Option<Date>) -> Answer {
    let answer = client.count_daily_totals(CountDailyTotalsRequest { date }).await?;
    Ok(answer.into_inner().method_counts)
}

async fn list(client: &mut Client, start_date: Option<Date>, end_date: Option<Date>) -> Answer {
    let answer = client.list_daily_totals(ListDailyTotalsRequest { start_date, end_date }).await?;
    Ok(answer.into_inner().method_counts)
}

async fn period(client: &mut Client, period: Option<Date>) -> Answer {
    let answer = client.get_period_totals(GetPeriodTotalsRequest { period }).await?;
    Ok(answer.into_inner().method_counts)
}

fn assert_invalid(answer: Answer, field: &str, parts: &[&str]) {
    let status = answer.expect_err("an impossible date");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let message = status.message();
    assert!(message.contains(field), "{field}: {message}");
    assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
}

#[tokio::test]
async fn impossible_dates_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("tally.db").display());
    let counting = Counting::start(&url, settings()).await;
    let mut client = counting.client().await;
    let good = date(2023, 2, 28);
    for (bad, said) in [
        (None, "is missing"),
        (date(0, 0, 0), "is missing"),
        (date(2023, 2, 30), "2023-02-30"),
        (date(2023, 2, 29), "2023-02-29"),
        (date(2023, 13, 1), "2023-13-01"),
        (date(2023, 0, 1), "2023-00-01"),
        (date(2023, 1, 32), "2023-01-32"),
        (date(2023, -1, 1), "2023-"),
        (date(0, 1, 1), "0000-01-01"),
        (date(10_000, 1, 1), "10000-01-01"),
        (date(i32::MIN, i32::MAX, i32::MIN), "is not a date"),
        (date(2_023 + 65_536, 1, 1), "67559-01-01"),
    ] {
        assert_invalid(roll_up(&mut client, bad).await, "date", &[said]);
        assert_invalid(list(&mut client, bad, good).await, "start_date", &[said]);
        assert_invalid(list(&mut client, good, bad).await, "end_date", &[said]);
        assert_invalid(period(&mut client, bad).await, "period", &[said]);
    }
    let upside_down = list(&mut client, date(2023, 3, 1), good).await;
    assert_invalid(upside_down, "end_date is before start_date", &["2023-03-01", "2023-02-28"]);
}

#[tokio::test]
async fn only_rolled_up_requests_are_listed() {
    let Some(database) = TestDatabase::create_or_skip("dates") else { return };
    let counting = Counting::start(&database.url(), settings()).await;
    let mut client = counting.client().await;
    let stream = vec![
        get("/b", "2024-02-29T23:59:59Z"),
        request(6, "/a", "2024-02-29T00:00:00Z"),
        get("/a", "2024-02-29T00:00:00Z"),
        get("/a", "2024-02-29T12:00:00Z"),
        get("/a", "2024-03-01T00:00:00Z"),
        get("/a", NOW),
    ];
    counting.add(stream).await.unwrap();
    let leap = date(2024, 2, 29);
    for days in [leap, date(2024, 2, 0), date(2024, 0, 0)] {
        assert_eq!(list(&mut client, days, days).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(period(&mut client, days).await.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(roll_up(&mut client, date(2024, 1, 0)).await.unwrap(), []);
    let february =
        [count(3, "/a", 2, leap), count(6, "/a", 1, leap), count(3, "/b", 1, leap)].to_vec();
    for days in [leap, leap, date(2024, 2, 0)] {
        assert_eq!(roll_up(&mut client, days).await.unwrap(), february);
    }
    assert_eq!(list(&mut client, date(2024, 0, 0), date(2024, 0, 0)).await.unwrap(), february);
    // Late requests are added, a whole year is rolled up, and its sum has no dates.
    counting.add(vec![get("/a", "2024-02-29T05:00:00Z")]).await.unwrap();
    let year = roll_up(&mut client, date(2024, 0, 0)).await.unwrap();
    assert_eq!(year[0], count(3, "/a", 3, leap));
    assert_eq!(year[3], count(3, "/a", 1, date(2024, 3, 1)));
    assert_eq!(year.len(), 4);
    let sums = [count(3, "/a", 4, None), count(6, "/a", 1, None), count(3, "/b", 1, None)];
    assert_eq!(period(&mut client, date(2024, 0, 0)).await.unwrap(), sums);
    // A day that is not over.
    let (today, mut second) = (date(2030, 6, 15), counting.client().await);
    for n in 1..3 {
        let (one, other) = tokio::join!(roll_up(&mut client, today), roll_up(&mut second, today));
        let expected = [count(3, "/a", n, today)];
        assert_eq!(
            (one.unwrap().as_slice(), other.unwrap().as_slice()),
            (&expected[..], &expected[..])
        );
        counting.add(vec![get("/a", NOW)]).await.unwrap();
    }
}
