//! A pooler that switches sessions between transactions, such as PgBouncer in transaction mode.

use std::net::SocketAddr;

use tally_runtime::Tasks;
use tally_store::Database;
use tally_store::error::Step as _;
use tally_testkit::TestDatabase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{open, refused_for_good};

/// The answer of the session behind the pooler to `version.sql`.
const VERSION: [&str; 5] = ["PostgreSQL 15.0", "150000", "15.0", "on", "UTF8"];

/// Answers on every connection like one idle Postgres session.
async fn pooler() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    Tasks::detach("pooler", async move {
        while let Ok((client, _)) = listener.accept().await {
            Tasks::detach("pooled", serve(client));
        }
    });
    address
}

/// Serves a client until it disconnects.
async fn serve(mut client: TcpStream) -> std::io::Result<()> {
    let rest = client.read_u32().await? as usize - 4;
    client.read_exact(&mut vec![0; rest]).await?;
    let ready = message(b'Z', b"I");
    client.write_all(&[message(b'R', &[0; 4]), ready.clone()].concat()).await?;
    loop {
        let kind = client.read_u8().await?;
        let mut body = vec![0; client.read_u32().await? as usize - 4];
        client.read_exact(&mut body).await?;
        assert_eq!(kind, b'Q', "only simple queries are understood");
        let sql = String::from_utf8_lossy(&body);
        let answer = if sql.contains("version()") {
            row(&VERSION)
        } else if sql.contains("pg_backend_pid()") {
            row(&["4711"])
        } else {
            Vec::new()
        };
        let done = message(b'C', b"SET\0");
        client.write_all(&[answer, done, ready.clone()].concat()).await?;
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&[kind], &length[..], body].concat()
}

/// The description of a row of texts, then the row.
fn row(values: &[&str]) -> Vec<u8> {
    let count = u16::try_from(values.len()).expect("few").to_be_bytes().to_vec();
    let (mut columns, mut fields) = (count.clone(), count);
    for value in values {
        // Its name, table, number, type (25 is text), length, modifier, and format.
        columns.extend(b"c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
        fields.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
        fields.extend(value.as_bytes());
    }
    [message(b'T', &columns), message(b'D', &fields)].concat()
}

#[tokio::test]
async fn a_pooler_is_noticed_at_the_start() {
    let address = pooler().await;
    let line =
        refused_for_good(&format!("postgres://me:s3cret@{address}/tally?sslmode=disable")).await;
    assert!(line.contains("looks like PgBouncer in transaction mode"), "{line}");
    assert!(line.contains("session mode") && line.contains(&address.to_string()), "{line}");
}

#[tokio::test]
async fn a_missing_prepared_statement_is_explained() {
    let Some(database) = TestDatabase::create_or_skip("statement_gone") else { return };
    let Ok(Database::Postgres(opened)) = open(&database.url()).await else { panic!("Postgres") };
    let connection = opened.writer().await.expect("a connection");
    for state in ["26000", "42P05"] {
        let sql = format!("DO $$ BEGIN RAISE EXCEPTION 's1' USING ERRCODE = '{state}'; END $$");
        let error = connection.batch_execute(&sql).await.step("store").expect_err("raised");
        let line = tally_runtime::chain(&error);
        assert!(line.starts_with("store: this looks like PgBouncer in transaction mode"), "{line}");
        assert!(line.ends_with("s1") && !error.is_transient(), "{line}");
    }
}
