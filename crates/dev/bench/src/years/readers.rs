//! What a browser and a script ask over HTTP, to the last byte; and what readers that read slowly cost
//! the server.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tally_runtime::Day;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::samples::{Samples, ms};
use crate::server::Server;

/// How long the first page may take, and how many bytes it may have with all that it needs.
const PAGE_TARGET: Duration = Duration::from_millis(300);
const PAGE_BYTES: usize = 150_000;
/// How long a year of 1,000 series by day may take.
const YEAR_TARGET: Duration = Duration::from_millis(150);
/// How many read it slowly at the same time, and by how much the server's memory may grow.
const SLOW_READERS: usize = 20;
const SLOW_BYTES: u64 = 32 << 20;
/// What each reads at first.
const MOUTHFUL: usize = 16 << 10;

/// Whether everything is as it should be but for the times, which are printed.
pub(super) async fn measure(
    server: &Server,
    today: Day,
    days: u32,
    rounds: usize,
) -> anyhow::Result<()> {
    let address = server.url().trim_start_matches("http://");
    println!(
        "{:<64} {:>8} {:>9} {:>9} {:>9}",
        "over HTTP", "kB", "first ms", "median ms", "p95 ms"
    );
    let page = get(address, "/requests").await?;
    let mut parts: Vec<String> = files(&page).collect();
    parts.insert(0, "/requests".to_owned());
    let (bytes, median) =
        rows(address, "the first page, with all it needs", &parts, rounds).await?;
    verdict(median <= PAGE_TARGET && bytes <= PAGE_BYTES, PAGE_TARGET, Some(PAGE_BYTES));
    let year = i32::try_from(days.min(365))?;
    let year = format!(
        "/api/v1/requests/totals?from={}&to={today}&by=day&group_by=service,method,path,status,customer&live=true",
        today.plus(1 - year)
    );
    let (bytes, median) =
        rows(address, "a year of all series by day, as JSON", std::slice::from_ref(&year), rounds)
            .await?;
    verdict(median <= YEAR_TARGET, YEAR_TARGET, None);
    slow_readers(server, address, &year, bytes).await
}

/// Asks for all of these at once, several times, and prints a line. Returns the bytes and the median.
async fn rows(
    address: &str,
    name: &str,
    paths: &[String],
    rounds: usize,
) -> anyhow::Result<(usize, Duration)> {
    let (mut first, mut next, mut bytes) = (None, Samples::default(), 0);
    for _ in 0..=rounds {
        let start = Instant::now();
        let answers = paths.iter().map(|path| get(address, path));
        let answers = futures_util::future::try_join_all(answers).await?;
        let took = start.elapsed();
        bytes = answers.iter().map(Vec::len).sum();
        match first {
            None => first = Some(took),
            Some(_) => next.add(took),
        }
    }
    let [first, median, p95] = [first.unwrap_or_default(), next.median(), next.at(950)];
    let kilobytes = bytes.div_ceil(1_000);
    println!("{name:<64} {kilobytes:>8} {:>9} {:>9} {:>9}", ms(first), ms(median), ms(p95));
    Ok((bytes, median))
}

fn verdict(is_met: bool, target: Duration, bytes: Option<usize>) {
    let bytes = bytes.map(|bytes| format!(" and {} kB", bytes / 1_000)).unwrap_or_default();
    let word = if is_met { "met" } else { "MISSED" };
    println!("    target: {} ms{bytes}: {word}", target.as_millis());
}

/// Many that read the beginning, and no more until all have it.
async fn slow_readers(
    server: &Server,
    address: &str,
    path: &str,
    bytes: usize,
) -> anyhow::Result<()> {
    let before = server.memory().context("the server's memory")?.now;
    let mut readers = Vec::new();
    for _ in 0..SLOW_READERS {
        let mut reader = ask(address, path).await?;
        reader.read_exact(&mut vec![0; MOUTHFUL]).await.context("the beginning of an answer")?;
        readers.push(reader);
    }
    let start = Instant::now();
    get(address, "/requests").await?;
    let page = start.elapsed();
    let during = server.memory().context("the server's memory")?.now;
    let mut rest = 0;
    for mut reader in readers {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.context("the rest of an answer")?;
        rest = all.len() + MOUTHFUL;
    }
    anyhow::ensure!(rest >= bytes, "a slow reader got {rest} of {bytes} bytes");
    let grown = during.saturating_sub(before) << 10;
    println!(
        "{SLOW_READERS} that have read 16 kB of it: the server has {:.1} MiB more; meanwhile a page takes {} ms",
        grown as f64 / f64::from(1 << 20),
        ms(page)
    );
    let word = if grown <= SLOW_BYTES { "met" } else { "MISSED" };
    println!("    target: {} MiB: {word}", SLOW_BYTES >> 20);
    Ok(())
}

/// The files of a page: what it names under `/static/`, each once.
fn files(page: &[u8]) -> impl Iterator<Item = String> {
    let page = String::from_utf8_lossy(page);
    let named = page.split(['"', '\'']).filter(|text| text.starts_with("/static/"));
    let mut named: Vec<String> = named.map(str::to_owned).collect();
    named.sort_unstable();
    named.dedup();
    named.into_iter()
}

/// An answer as it comes, head and framing included; fails unless it is a 200.
async fn get(address: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    let mut answer = Vec::new();
    ask(address, path).await?.read_to_end(&mut answer).await?;
    let head = answer.get(..12).unwrap_or_default();
    anyhow::ensure!(head == b"HTTP/1.1 200", "{path}: {}", String::from_utf8_lossy(head));
    Ok(answer)
}

async fn ask(address: &str, path: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/html, application/json, */*;q=0.5\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}
