//! A fresh store of each kind, and helpers for what the tests store and read.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use jiff::Timestamp;
use jiff::civil::Date;
use tally_ingest::{Batch, WriteError};
use tally_producers::{Fate, Parcel, Producers, Terms};
use tally_proto::methods::number_of_text;
use tally_requests::periods::{Granularity, Label, QuarterRange, Zone};
use tally_requests::store::{self, Appended, Names, Store};
use tally_requests::{
    DOMAIN, Day, DayRange, Filter, Group, GroupBy, MIGRATIONS, Named, Query, Rows, Series,
    SeriesId, TooMany, Totals,
};
use tally_store::{Database, DatabaseUrl, Outcome};
use tally_testkit::{Disturber, TestDatabase};
use tempfile::TempDir;
use uuid::Uuid;

/// When the tests take place.
pub(crate) const NOW: &str = "2030-06-15T12:00:00Z";
/// Its day.
pub(crate) const TODAY: &str = "2030-06-15";
/// A day long before.
pub(crate) const OLD: &str = "2015-05-17";

/// Which clients the tests' servers take.
pub(crate) const TERMS: Terms = Terms { producers_max: 100, retention_days: 30 };

/// How many times a batch is sent on CockroachDB, where serialization failures are normal.
pub(crate) const SENDS_MAX: usize = 1_000;

/// A store on an empty database, which is removed with this value.
pub(crate) struct Backend {
    pub(crate) store: Arc<Store>,
    /// Another server's store with its own pool; on SQLite, which has one server, the same store.
    pub(crate) second: Arc<Store>,
    pub(crate) producers: Producers,
    /// The other server's.
    pub(crate) second_producers: Producers,
    /// What `store` is on.
    pub(crate) database: Database,
    /// What `second` is on.
    pub(crate) second_database: Database,
    place: Place,
}

enum Place {
    Sqlite(TempDir),
    Postgres(TestDatabase),
    /// CockroachDB's SQL, on CockroachDB or on Postgres.
    Cockroach(TestDatabase),
}

/// Numbers its batches as an insert worker does.
pub(crate) struct Producer {
    pub(crate) id: Uuid,
    pub(crate) sequence: i64,
    is_repeating: bool,
}

/// One total: the period's first day, method, path, count.
pub(crate) type Total = (String, i32, String, i64);

// === impl Backend ===

impl Backend {
    pub(crate) async fn sqlite(_hint: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("tally.db").display());
        let database = migrated(&url).await;
        let second = database.clone();
        let one = Self::of(database, &second, Place::Sqlite(folder));
        Some(Self { second: Arc::clone(&one.store), ..one })
    }

    pub(crate) async fn postgres(hint: &str) -> Option<Self> {
        let database = TestDatabase::create_or_skip(hint)?;
        let (tally, second) = (migrated(&database.url()).await, open(&database.url()).await);
        Some(Self::of(tally, &second, Place::Postgres(database)))
    }

    /// A real CockroachDB, if one is available.
    pub(crate) async fn cockroach(hint: &str) -> Option<Self> {
        let database = TestDatabase::create_on_cockroach(hint)?;
        let (tally, second) = (migrated(&database.url()).await, open(&database.url()).await);
        Some(Self::of(tally, &second, Place::Cockroach(database)))
    }

    /// CockroachDB's tables and SQL on Postgres, with CockroachDB's isolation.
    pub(crate) async fn cockroach_on_postgres(hint: &str) -> Option<Self> {
        let database = TestDatabase::create_or_skip(hint)?;
        let client = database.connect().await;
        for set in [tally_producers::MIGRATIONS, MIGRATIONS] {
            let runner = (set.cockroach)();
            let mut all: Vec<_> = runner.get_migrations().iter().collect();
            all.sort_by_key(|one| one.version());
            for one in all {
                let sql = one.sql().expect("a migration that is not applied has its text");
                // Postgres has no index of this kind.
                let sql = sql.replace(" USING HASH WITH (bucket_count = 8)", "");
                client.batch_execute(&sql).await.expect("the tables");
            }
        }
        let url = as_cockroach(&database.url());
        Some(Self::of(open(&url).await, &open(&url).await, Place::Cockroach(database)))
    }

    /// On a Postgres that was made ready elsewhere.
    pub(crate) fn of_postgres(place: TestDatabase, database: Database, second: &Database) -> Self {
        Self::of(database, second, Place::Postgres(place))
    }

    fn of(database: Database, second: &Database, place: Place) -> Self {
        Self {
            store: store::open(&database),
            producers: Producers::new(database.clone(), DOMAIN.name, TERMS),
            second_producers: Producers::new(second.clone(), DOMAIN.name, TERMS),
            second: store::open(second),
            second_database: second.clone(),
            database,
            place,
        }
    }

    /// CockroachDB's SQL on Postgres, with new connections that see new settings.
    pub(crate) async fn reopened(self) -> Self {
        let Place::Cockroach(database) = &self.place else { panic!("not CockroachDB's SQL") };
        let url = as_cockroach(&database.url());
        Self::of(open(&url).await, &open(&url).await, self.place)
    }

    /// The same database behind a proxy that lets statements go wrong. What bypasses the store
    /// bypasses the proxy too.
    pub(crate) async fn disturbed(self) -> (Self, Disturber) {
        let (Place::Postgres(database) | Place::Cockroach(database)) = &self.place else {
            panic!("not Postgres")
        };
        let (disturber, url) = Disturber::before(&database.url()).await;
        let url = if self.is_cockroach() { as_cockroach(&url) } else { url };
        (Self::of(open(&url).await, &open(&url).await, self.place), disturber)
    }

    /// The database's name.
    pub(crate) fn database_name(&self) -> &str {
        match &self.place {
            Place::Sqlite(_) => "main",
            Place::Postgres(database) | Place::Cockroach(database) => database.name(),
        }
    }

    /// A connection that bypasses the store.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        match &self.place {
            Place::Sqlite(_) => panic!("not Postgres"),
            Place::Postgres(database) | Place::Cockroach(database) => database.connect().await,
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.place, Place::Sqlite(_))
    }

    /// SQLite's file.
    pub(crate) fn file(&self) -> std::path::PathBuf {
        let Place::Sqlite(folder) = &self.place else { panic!("not SQLite") };
        folder.path().join("tally.db")
    }

    pub(crate) fn is_cockroach(&self) -> bool {
        matches!(self.place, Place::Cockroach(_))
    }

    /// The table that has the rows, or one of them.
    pub(crate) fn tray(&self) -> &'static str {
        if self.is_cockroach() { "tally_requests" } else { "tally_requests_0" }
    }

    /// Runs SQL that every backend understands.
    pub(crate) async fn execute(&self, sql: &str) {
        match &self.place {
            Place::Sqlite(_) => self.sqlite_file().execute_batch(sql).expect(sql),
            Place::Postgres(database) | Place::Cockroach(database) => {
                database.connect().await.batch_execute(sql).await.expect(sql);
            }
        }
    }

    /// The number of rows in a table.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        match &self.place {
            Place::Sqlite(_) => {
                self.sqlite_file().query_row(&sql, [], |row| row.get(0)).expect("a count")
            }
            Place::Postgres(database) | Place::Cockroach(database) => {
                database.connect().await.query_one(&sql, &[]).await.expect("a count").get(0)
            }
        }
    }

    /// The lines that a statement finds: a text, three numbers, and a text.
    pub(crate) async fn lines(&self, sql: &str) -> Vec<(String, i64, i64, i64, String)> {
        match &self.place {
            Place::Sqlite(_) => {
                let file = self.sqlite_file();
                let mut statement = file.prepare(sql).expect(sql);
                let line = |row: &rusqlite::Row<'_>| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                };
                let rows = statement.query_map([], line).expect(sql);
                rows.collect::<rusqlite::Result<_>>().expect(sql)
            }
            Place::Postgres(database) | Place::Cockroach(database) => {
                let rows = database.connect().await.query(sql, &[]).await.expect(sql);
                let line = |row: &tokio_postgres::Row| {
                    (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))
                };
                rows.iter().map(line).collect()
            }
        }
    }

    /// Every row of every table as a text.
    pub(crate) async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        match &self.place {
            Place::Sqlite(_) => {
                let file = self.sqlite_file();
                let sql = "SELECT name FROM sqlite_master WHERE type = 'table'";
                let mut statement = file.prepare(sql).expect(sql);
                let tables = statement.query_map([], |row| row.get::<_, String>(0)).expect(sql);
                for table in tables {
                    let sql = format!("SELECT * FROM {}", table.expect("a name"));
                    let mut statement = file.prepare(&sql).expect(&sql);
                    let columns = statement.column_count();
                    let mut rows = statement.query([]).expect(&sql);
                    while let Some(row) = rows.next().expect(&sql) {
                        let value = |at| format!("{:?}", row.get_ref(at).expect("a value").as_str());
                        all.push((0..columns).map(value).collect());
                    }
                }
            }
            Place::Postgres(database) | Place::Cockroach(database) => {
                let client = database.connect().await;
                let sql = "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = 'public'";
                for table in client.query(sql, &[]).await.expect(sql) {
                    let sql = format!("SELECT t::TEXT FROM {} AS t", table.get::<_, &str>(0));
                    let rows = client.query(&sql, &[]).await.expect(&sql);
                    all.extend(rows.iter().map(|row| row.get::<_, String>(0)));
                }
            }
        }
        all
    }

    /// By day, the requests accepted from all producers, and the most that one account has dropped.
    pub(crate) async fn accounts(&self) -> Vec<(Day, i64, i64)> {
        let many = match &self.place {
            Place::Sqlite(_) => "SELECT day, accepted, dropped FROM tally_producer_batches",
            _ => {
                "SELECT DATE '1970-01-01' + n.day, n.accepted, n.dropped \
                 FROM tally_producer_batches AS b, \
                     unnest(b.days, b.accepted, b.dropped) AS n (day, accepted, dropped)"
            }
        };
        let sql = format!(
            "SELECT day, sum(accepted), max(dropped) FROM ( \
                 SELECT day, accepted, dropped FROM tally_producer_days UNION ALL {many} \
             ) AS d GROUP BY day ORDER BY day"
        );
        match &self.place {
            Place::Sqlite(_) => {
                let file = self.sqlite_file();
                let mut statement = file.prepare(&sql).expect(&sql);
                let account =
                    |row: &rusqlite::Row<'_>| Ok((Day(row.get(0)?), row.get(1)?, row.get(2)?));
                let rows = statement.query_map([], account).expect(&sql);
                rows.collect::<rusqlite::Result<_>>().expect(&sql)
            }
            Place::Postgres(database) | Place::Cockroach(database) => {
                let sql = sql
                    .replacen("SELECT day", "SELECT (day - DATE '1970-01-01')::INT4", 1)
                    .replace("sum(accepted)", "sum(accepted)::INT8");
                let rows = database.connect().await.query(&sql, &[]).await.expect(&sql);
                rows.iter().map(|row| (Day(row.get(0)), row.get(1), row.get(2))).collect()
            }
        }
    }

    /// The day, the path and the number of each of the view's totals, with all other names on the way.
    pub(crate) async fn view(&self) -> Vec<(String, String, i64)> {
        let sql = "SELECT CAST(day AS TEXT), path, CAST(sum(total) AS BIGINT) FROM tally_totals_by_day \
                   WHERE namespace = 'default' AND service = '' AND method = 'GET' AND status = 0 \
                     AND customer = '' \
                   GROUP BY day, path ORDER BY day, path";
        match &self.place {
            Place::Sqlite(_) => {
                let file = self.sqlite_file();
                let mut statement = file.prepare(sql).expect(sql);
                let total = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                let rows = statement.query_map([], total).expect(sql);
                rows.collect::<rusqlite::Result<_>>().expect(sql)
            }
            Place::Postgres(database) | Place::Cockroach(database) => {
                let rows = database.connect().await.query(sql, &[]).await.expect(sql);
                rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
            }
        }
    }

    /// The series and the times of all rows, in microseconds.
    pub(crate) async fn rows(&self) -> Vec<(SeriesId, i64)> {
        match &self.place {
            Place::Sqlite(_) => {
                let (file, sql) =
                    (self.sqlite_file(), "SELECT series_id, requested_at FROM tally_requests");
                let mut statement = file.prepare(sql).expect(sql);
                let rows =
                    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect(sql);
                rows.collect::<rusqlite::Result<_>>().expect(sql)
            }
            Place::Postgres(database) | Place::Cockroach(database) => {
                let sql = "SELECT series_id, requested_at FROM tally_requests";
                let rows = database.connect().await.query(sql, &[]).await.expect(sql);
                let time = |row: &tokio_postgres::Row| row.get::<_, Timestamp>(1).as_microsecond();
                rows.iter().map(|row| (row.get(0), time(row))).collect()
            }
        }
    }

    /// Makes all producers look silent for this many days.
    pub(crate) async fn age_producers(&self, days: i32) {
        let sql = match &self.place {
            Place::Sqlite(_) => {
                format!("UPDATE tally_producers SET last_seen = last_seen - {days} * 86400000000")
            }
            _ => format!("UPDATE tally_producers SET last_seen = now() - INTERVAL '{days} days'"),
        };
        self.execute(&sql).await;
    }

    fn sqlite_file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.file()).expect("the file")
    }

    /// Adds the series of an endpoint to the dictionary and returns its id.
    pub(crate) async fn id(&self, method: i32, path: &str) -> SeriesId {
        let id = Series::of_endpoint(method, path).id(0);
        self.name(id, method, path).await;
        id
    }

    /// Adds a name to the dictionary.
    pub(crate) async fn name(&self, id: SeriesId, method: i32, path: &str) {
        let Series { method, path, .. } = Series::of_endpoint(method, path);
        let path = path.replace('\'', "''");
        self.execute(&format!(
            "INSERT INTO tally_request_series VALUES ({id}, 0, '', '{method}', '{path}', 0, '') \
             ON CONFLICT DO NOTHING"
        ))
        .await;
    }

    pub(crate) async fn maintain(&self) {
        self.store.forget_files().await.expect("housekeeping");
        self.producers.forget_silent().await.expect("forgotten");
        self.producers.gather_days().await.expect("gathered");
    }

    pub(crate) async fn roll_up(&self, days: DayRange) -> u64 {
        self.store.roll_up(days).await.expect("a roll-up")
    }

    /// Live totals by day.
    pub(crate) async fn live(&self) -> Vec<Total> {
        listed(&ask(&self.store, &query(Granularity::Day, true)).await.expect("not too many"))
    }

    /// Rolled-up totals by day.
    pub(crate) async fn rolled_up(&self) -> Vec<Total> {
        listed(&ask(&self.store, &query(Granularity::Day, false)).await.expect("not too many"))
    }
}

// === impl Producer ===

impl Producer {
    pub(crate) fn new() -> Self {
        Self { id: Uuid::now_v7(), sequence: 0, is_repeating: false }
    }

    /// Makes the next batch a repetition of the last one, as after a lost answer.
    pub(crate) fn repeat(&mut self) {
        self.sequence -= 1;
        self.is_repeating = true;
    }

    /// The next batch.
    pub(crate) fn next<'a>(&mut self, chunks: &'a [Parcel<Rows>]) -> Batch<'a, Parcel<Rows>> {
        self.sequence += 1;
        let is_repeated = std::mem::take(&mut self.is_repeating);
        Batch { is_repeated, ..batch(self.id, self.sequence, chunks) }
    }

    /// Stores rows as the next batch.
    pub(crate) async fn append(
        &mut self,
        store: &Store,
        is_cockroach: bool,
        rows: impl IntoIterator<Item = (SeriesId, i64)>,
    ) {
        self.send(store, is_cockroach, &[rows.into_iter().collect::<Rows>().into()]).await;
    }

    /// Stores chunks as the next batch, as an insert worker does, and says what became of each: only
    /// CockroachDB may ask for it again.
    pub(crate) async fn send(
        &mut self,
        store: &Store,
        is_cockroach: bool,
        chunks: &[Parcel<Rows>],
    ) -> Vec<Fate> {
        let mut batch = self.next(chunks);
        for _ in 0..SENDS_MAX {
            match append_batch(store, &batch).await {
                Ok(fates) => return fates,
                Err(error) if is_cockroach && error.is_transient() => {
                    batch.is_repeated |= error.outcome() == Outcome::Indeterminate;
                }
                Err(error) => panic!("{}", tally_runtime::chain(&error)),
            }
        }
        panic!("a batch was refused {SENDS_MAX} times");
    }
}

/// Stores one batch of a new producer.
pub(crate) async fn append(backend: &Backend, rows: impl IntoIterator<Item = (SeriesId, i64)>) {
    Producer::new().append(&backend.store, backend.is_cockroach(), rows).await;
}

/// The first attempt of a batch.
pub(crate) fn batch(
    producer: Uuid,
    sequence: i64,
    chunks: &[Parcel<Rows>],
) -> Batch<'_, Parcel<Rows>> {
    Batch { producer, sequence, is_repeated: false, chunks }
}

/// Stores a batch of rows whose names are in the dictionary, and returns what became of each chunk.
pub(crate) async fn append_batch(
    store: &Store,
    batch: &Batch<'_, Parcel<Rows>>,
) -> Result<Vec<Fate>, tally_store::Error> {
    appended(store, batch, &[]).await.map(|(fates, _)| fates).map_err(failed)
}

/// The error of a batch whose number fits.
pub(crate) fn failed(error: WriteError) -> tally_store::Error {
    match error {
        WriteError::Failed(error) => error,
        error @ WriteError::OutOfSequence { .. } => panic!("{error}"),
    }
}

/// Stores a batch with the names of its rows, and returns those that got other ids.
pub(crate) async fn append_named(
    store: &Store,
    batch: &Batch<'_, Parcel<Rows>>,
    names: &[Arc<Named>],
) -> Result<HashMap<SeriesId, SeriesId>, tally_store::Error> {
    appended(store, batch, names).await.map(|(_, moved)| moved).map_err(failed)
}

/// Stores a batch with the names of its rows. What became of it, and which names have other ids.
pub(crate) async fn appended(
    store: &Store,
    batch: &Batch<'_, Parcel<Rows>>,
    names: &[Arc<Named>],
) -> Result<(Vec<Fate>, HashMap<SeriesId, SeriesId>), WriteError> {
    for _ in 0..10 {
        let names = Names::new(names.to_vec(), store.state());
        if let Appended::Stored { fates, moved } = store.append(batch, &names, now()).await? {
            return Ok((fates, moved));
        }
    }
    panic!("the store never stays in one state");
}

/// [`NOW`].
pub(crate) fn now() -> Timestamp {
    NOW.parse().expect("a time")
}

/// A name as a new row has it.
pub(crate) fn named(method: i32, path: &str) -> Arc<Named> {
    let series = Series::of_endpoint(method, path);
    Arc::new(Named::new(series.id(0), series))
}

/// Opens a database.
pub(crate) async fn open(url: &str) -> Database {
    open_with(url, tally_store::postgres::Settings::default().write_max).await
}

/// The same, with a limit for storing statements.
pub(crate) async fn open_with(url: &str, write_max: Duration) -> Database {
    let url: DatabaseUrl = url.parse().expect("a database URL");
    let settings = tally_store::postgres::Settings {
        connections_max: 8,
        writers_max: 4,
        write_max,
        ..Default::default()
    };
    Database::open(&url, settings).await.expect("the database opens")
}

/// Opens a database and creates its tables.
pub(crate) async fn migrated(url: &str) -> Database {
    let database = open(url).await;
    tally_producers::MIGRATIONS.run(&database).await.expect("migrations");
    MIGRATIONS.run(&database).await.expect("migrations");
    database
}

/// A Postgres URL for CockroachDB's store, with CockroachDB's isolation.
pub(crate) fn as_cockroach(url: &str) -> String {
    let (_, rest) = url.split_once("://").expect("a URL");
    let separator = if rest.contains('?') { '&' } else { '?' };
    let isolation = "options=-c%20default_transaction_isolation%3Dserializable";
    format!("cockroachdb://{rest}{separator}{isolation}")
}

/// Every day, every endpoint.
pub(crate) fn query(granularity: Granularity, live: bool) -> Query {
    Query {
        range: QuarterRange::ALL,
        granularity,
        zone: Zone::utc(),
        filter: Filter::default(),
        group_by: vec![GroupBy::Method, GroupBy::Path],
        live,
        sum: false,
        totals_max: 1_000_000,
        with_corrections: false,
        limit: None,
    }
}

pub(crate) async fn ask(store: &Store, query: &Query) -> Result<Totals, TooMany> {
    match store.totals(query).await {
        Ok(answer) => Ok(answer),
        Err(error) if error.find::<TooMany>().is_some() => Err(TooMany),
        Err(error) => panic!("{}", tally_runtime::chain(&error)),
    }
}

/// An answer as a list in its own order.
pub(crate) fn listed(totals: &Totals) -> Vec<Total> {
    let one = |label: Label, (group, count): &(u32, i64)| {
        let Group { method, path, .. } = &totals.groups[*group as usize];
        (label.date.to_string(), number_of_text(method), path.to_string(), *count)
    };
    totals
        .periods
        .iter()
        .flat_map(|period| period.counts.iter().map(move |count| one(period.label, count)))
        .collect()
}

/// An expected total.
pub(crate) fn total(day: &str, method: i32, path: &str, count: i64) -> Total {
    (day.to_owned(), method, path.to_owned(), count)
}

pub(crate) fn sum(totals: &[Total]) -> i64 {
    totals.iter().map(|total| total.3).sum()
}

pub(crate) fn day(text: &str) -> Day {
    text.parse::<Date>().expect("a date").into()
}

pub(crate) fn one_day(text: &str) -> DayRange {
    DayRange::one(day(text))
}

/// A time in microseconds since 1970-01-01 UTC.
pub(crate) fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("a time").as_microsecond()
}

/// Noon of a day.
pub(crate) fn noon(text: &str) -> i64 {
    day(text).start_micros() + 43_200_000_000
}
