//! What the tables have, by SQL that bypasses the store.

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use tally_requests::{Day, Series, SeriesId};

use super::{Backend, Place};

impl Backend {
    /// Runs SQL that every backend understands.
    pub(crate) async fn execute(&self, sql: &str) {
        match &self.place {
            Place::Sqlite(_) => self.sqlite_file().execute_batch(sql).expect(sql),
            Place::Postgres(database) | Place::Cockroach(database) => {
                database.connect().await.batch_execute(sql).await.expect(sql);
            }
        }
    }

    /// The rows that a statement finds.
    async fn find<T>(
        &self,
        sql: &str,
        of_sqlite: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
        of_postgres: impl Fn(&tokio_postgres::Row) -> T,
    ) -> Vec<T> {
        match &self.place {
            Place::Sqlite(_) => {
                let file = self.sqlite_file();
                let mut statement = file.prepare(sql).expect(sql);
                let rows = statement.query_map([], of_sqlite).expect(sql);
                rows.collect::<rusqlite::Result<_>>().expect(sql)
            }
            Place::Postgres(database) | Place::Cockroach(database) => {
                let rows = database.connect().await.query(sql, &[]).await.expect(sql);
                rows.iter().map(of_postgres).collect()
            }
        }
    }

    /// The number of rows in a table.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.find(&sql, |row| row.get(0), |row| row.get(0)).await[0]
    }

    /// The lines that a statement finds: a text, three numbers, and a text.
    pub(crate) async fn lines(&self, sql: &str) -> Vec<(String, i64, i64, i64, String)> {
        self.find(
            sql,
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
            |row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)),
        )
        .await
    }

    /// The names of all tables.
    async fn tables(&self) -> Vec<String> {
        let sql = if self.is_sqlite() {
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        } else {
            "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = 'public'"
        };
        self.find(sql, |row| row.get(0), |row| row.get(0)).await
    }

    /// Does what the migrations of the next version may: each table gets a column with a default, under the
    /// servers that run.
    pub(crate) async fn add_columns(&self) {
        let kind = if self.is_sqlite() { "INTEGER" } else { "BIGINT" };
        for table in self.tables().await {
            let column = format!("next_version {kind} NOT NULL DEFAULT 7");
            self.execute(&format!("ALTER TABLE {table} ADD COLUMN {column}")).await;
        }
    }

    /// Every row of every table as a text.
    pub(crate) async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        let tables = self.tables().await;
        if self.is_sqlite() {
            let file = self.sqlite_file();
            for table in tables {
                let sql = format!("SELECT * FROM {table}");
                let mut statement = file.prepare(&sql).expect(&sql);
                let columns = statement.column_count();
                let mut rows = statement.query([]).expect(&sql);
                while let Some(row) = rows.next().expect(&sql) {
                    // A text as it is, so that a name is found in it.
                    let value = |at| match row.get_ref(at).expect("a value") {
                        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned() + ",",
                        other => format!("{other:?},"),
                    };
                    all.push((0..columns).map(value).collect());
                }
            }
            return all;
        }
        // The leases change all the time.
        for table in tables.iter().filter(|table| *table != "tally_leases") {
            let sql = format!("SELECT t::TEXT FROM {table} AS t");
            all.extend(self.find(&sql, |row| row.get::<_, String>(0), |row| row.get(0)).await);
        }
        all
    }

    /// By day, the requests accepted from all producers, and the most that one account has dropped.
    pub(crate) async fn accounts(&self) -> Vec<(Day, i64, i64)> {
        let (day, sum, many) = if self.is_sqlite() {
            let many = "SELECT day, accepted, dropped FROM tally_producer_batches";
            ("day", "sum(accepted)", many)
        } else {
            let many = "SELECT DATE '1970-01-01' + n.day, n.accepted, n.dropped \
                        FROM tally_producer_batches AS b, \
                            unnest(b.days, b.accepted, b.dropped) AS n (day, accepted, dropped)";
            ("(day - DATE '1970-01-01')::INT4", "sum(accepted)::INT8", many)
        };
        let sql = format!(
            "SELECT {day}, {sum}, max(dropped) FROM ( \
                 SELECT day, accepted, dropped FROM tally_producer_days UNION ALL {many} \
             ) AS d GROUP BY day ORDER BY day"
        );
        self.find(
            &sql,
            |row| Ok((Day(row.get(0)?), row.get(1)?, row.get(2)?)),
            |row| (Day(row.get(0)), row.get(1), row.get(2)),
        )
        .await
    }

    /// The day, the path and the number of each of the view's totals, with all other names on the way.
    pub(crate) async fn view(&self) -> Vec<(String, String, i64)> {
        let sql = "SELECT CAST(day AS TEXT), path, CAST(sum(total) AS BIGINT) FROM tally_totals_by_day \
                   WHERE namespace = 'default' AND service = '' AND method = 'GET' AND status = 0 \
                     AND customer = '' \
                   GROUP BY day, path ORDER BY day, path";
        self.find(
            sql,
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            |row| (row.get(0), row.get(1), row.get(2)),
        )
        .await
    }

    /// The series and the times of all rows, in microseconds.
    pub(crate) async fn rows(&self) -> Vec<(SeriesId, i64)> {
        self.find(
            "SELECT series_id, requested_at FROM tally_requests",
            |row| Ok((row.get(0)?, row.get(1)?)),
            |row| (row.get(0), row.get::<_, Timestamp>(1).as_microsecond()),
        )
        .await
    }

    /// Makes all producers look silent for this many days.
    pub(crate) async fn age_producers(&self, days: i32) {
        let sql = match &self.place {
            Place::Sqlite(_) => {
                format!(
                    "UPDATE tally_producers \
                     SET last_seen = (unixepoch() - {days} * 86400) * 1000000"
                )
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
}
