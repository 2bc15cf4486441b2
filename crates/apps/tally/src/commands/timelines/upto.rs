//! The flags of upto-client, and its datagram: for those who have them in their scripts, and for those whom a server
//! must not hold up.
//!
//! | flag | default | effect |
//! |---|---|---|
//! | `--remotehost`, `--rh` | localhost | by datagram, to this host |
//! | `--remoteport`, `--rp` | 8123 | by datagram, to this port |
//! | `--hostname`, `-n`, `--host` | none | the host of the event |
//! | `--autohost`, `-a` | off | this machine's name is the host |
//! | `--autoip`, `-i` | off | by datagram, whose receiver takes the sender's address as the host |
//!
//! As in upto-client they may come before the command, with one dash, and with `=`. Source:
//! <https://github.com/Redundancy/upto>.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;
use tally_proto::tally::timelines::v1 as proto;
use tokio::net::{UdpSocket, lookup_host};

use crate::output::{say, visible};

const HOST: &str = "localhost";
const PORT: u16 = 8123;
/// The largest datagram that upto reads.
const DATAGRAM_BYTES_MAX: usize = 1_024;
/// The flags that upto-client takes with one dash.
const LONG: [&str; 7] = ["remotehost", "rh", "remoteport", "rp", "hostname", "autohost", "autoip"];

/// How an event is told.
#[derive(Debug, Default, Args)]
pub(super) struct UptoArgs {
    /// Where it happens; a start and its end say the same
    #[arg(long = "host", visible_alias = "hostname", short = 'n', value_name = "HOST")]
    host: Option<String>,

    /// It happens on this machine: its name is the host
    #[arg(long = "autohost", short = 'a')]
    is_this_host: bool,

    /// Tell it by datagram, to a server that listens for them (`tally serve --timelines-udp`), and take the address
    /// that it comes from as the host
    #[arg(long = "autoip", short = 'i')]
    is_by_address: bool,

    /// Tell it by datagram to this host, and wait for no answer [default with --autoip or --remoteport: localhost]
    #[arg(long = "remotehost", visible_alias = "rh", value_name = "HOST")]
    remote_host: Option<String>,

    /// Tell it by datagram to this port [default with --autoip or --remotehost: 8123]
    #[arg(long = "remoteport", visible_alias = "rp", value_name = "PORT")]
    remote_port: Option<u16>,
}

/// The words of a command line, where flags of upto-client have one dash, with two.
pub(crate) fn with_two_dashes(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    if words.get(1).is_none_or(|command| command != "timelines") {
        return words;
    }
    for word in words.iter_mut().skip(2).take_while(|word| *word != "--") {
        let Some(flag) = word.to_str().and_then(|text| text.strip_prefix('-')) else { continue };
        if LONG.contains(&flag.split('=').next().unwrap_or_default()) {
            *word = format!("--{flag}").into();
        }
    }
    words
}

// === impl UptoArgs ===

impl UptoArgs {
    /// Of what says where it happens.
    pub(super) fn of(host: Option<String>, is_this_host: bool) -> Self {
        Self { host, is_this_host, ..Self::default() }
    }

    /// Whether one was given.
    pub(super) fn are_any(&self) -> bool {
        let Self { host, is_this_host, is_by_address, remote_host, remote_port } = self;
        let texts = host.is_some() || remote_host.is_some() || remote_port.is_some();
        texts || *is_this_host || *is_by_address
    }

    /// What was given before the command, and after it, which counts more.
    pub(super) fn and(self, after: Self) -> Self {
        Self {
            host: after.host.or(self.host),
            is_this_host: after.is_this_host || self.is_this_host,
            is_by_address: after.is_by_address || self.is_by_address,
            remote_host: after.remote_host.or(self.remote_host),
            remote_port: after.remote_port.or(self.remote_port),
        }
    }

    /// The host of the event.
    pub(super) fn host(&self) -> anyhow::Result<String> {
        if self.is_this_host {
            return this_host();
        }
        Ok(self.host.clone().unwrap_or_default())
    }

    /// Where the datagram goes, if it is one.
    pub(super) fn address(&self) -> Option<(String, u16)> {
        let is_datagram =
            self.is_by_address || self.remote_host.is_some() || self.remote_port.is_some();
        let host = self.remote_host.clone().unwrap_or_else(|| HOST.to_owned());
        is_datagram.then(|| (host, self.remote_port.unwrap_or(PORT)))
    }

    /// Sends a message as a datagram. Nobody answers, and nobody needs to be there.
    pub(super) async fn send(
        &self,
        (host, port): &(String, u16),
        message: &proto::RecordRequest,
    ) -> anyhow::Result<ExitCode> {
        let datagram = datagram(message, self.is_by_address)?;
        let shown = format!("{}:{port}", visible(host));
        let found = lookup_host((host.as_str(), *port)).await;
        let found = found.with_context(|| format!("cannot find {shown}"))?.next();
        let to = found.ok_or_else(|| anyhow!("{shown} has no address"))?;
        let own = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(own).await.context("cannot open a socket")?;
        socket.send_to(&datagram, to).await.with_context(|| format!("cannot send to {shown}"))?;
        say(format_args!("sent to {shown}, which does not answer: {}", visible(&message.context)));
        Ok(ExitCode::SUCCESS)
    }
}

/// This machine's name: on Linux its kernel says it, elsewhere a program that POSIX demands.
fn this_host() -> anyhow::Result<String> {
    let said = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| {
        let said = std::process::Command::new("uname").arg("-n").output()?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&said.stdout).into_owned())
    });
    let name = said.context("this machine's name is not known: say it by --host")?;
    Ok(name.trim().to_owned())
}

/// A message as upto-client writes it.
fn datagram(message: &proto::RecordRequest, is_by_address: bool) -> anyhow::Result<Vec<u8>> {
    let kind = match proto::Kind::try_from(message.kind) {
        Ok(proto::Kind::Start) => Some(0),
        Ok(proto::Kind::End) => Some(1),
        Ok(proto::Kind::Point) => Some(2),
        Ok(proto::Kind::New) => Some(3),
        _ => None,
    };
    let beyond = [
        (kind.is_none(), "a phase"),
        (!message.timeline.is_empty(), "--timeline"),
        (!message.span.is_empty(), "--span"),
        (message.status != 0, "--status"),
        (message.phase != 0 && kind.is_some(), "--waiting"),
        (!message.attributes.is_empty(), "--attribute"),
        (!message.idempotency_key.is_empty(), "--idempotency-key"),
    ];
    let beyond: Vec<&str> =
        beyond.into_iter().filter(|(is_said, _)| *is_said).map(|(_, what)| what).collect();
    let (Some(kind), []) = (kind, &beyond[..]) else {
        anyhow::bail!(
            "a datagram of upto has no room for {}: tell it without --remotehost, --remoteport and --autoip",
            beyond.join(", ")
        );
    };
    let mut bytes = vec![0x86];
    text(&mut bytes, "context");
    text(&mut bytes, &message.context);
    text(&mut bytes, "name");
    text(&mut bytes, &message.name);
    text(&mut bytes, "type");
    bytes.push(kind);
    text(&mut bytes, "time");
    // A new timeline has Go's zero time.
    let time = message.time.filter(|_| kind != 3);
    let (seconds, nanos) = time.map_or((-62_135_596_800, 0), |time| (time.seconds, time.nanos));
    bytes.extend([0xc7, 12, 5]);
    bytes.extend(seconds.to_be_bytes());
    bytes.extend(nanos.to_be_bytes());
    text(&mut bytes, "host");
    text(&mut bytes, &message.host);
    text(&mut bytes, "autoIP");
    bytes.push(if is_by_address { 0xc3 } else { 0xc2 });
    if bytes.len() > DATAGRAM_BYTES_MAX {
        anyhow::bail!(
            "the datagram would have {} bytes, and upto reads {DATAGRAM_BYTES_MAX}: shorten the names, or tell \
             it without --remotehost, --remoteport and --autoip",
            bytes.len()
        );
    }
    Ok(bytes)
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    match text.len() {
        length @ 0..32 => bytes.push(0xa0 | u8::try_from(length).unwrap_or_default()),
        length @ 32..255 => bytes.extend([0xd9, u8::try_from(length).unwrap_or_default()]),
        length => {
            bytes.push(0xda);
            bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "86a7636f6e74657874a3776562a46e616d65aa64622e6d696772617465a47479706500a474696d65\
                         c70c0500000000696851280ee6b280a4686f7374a0a66175746f4950c2";
    const NEW: &str = "86a7636f6e74657874a3776562a46e616d65a0a47479706503a474696d65c70c05fffffff1886e0900\
                       00000000a4686f7374a0a66175746f4950c2";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_datagram_has_the_bytes_of_upto_client() {
        let start = proto::RecordRequest {
            kind: proto::Kind::Start.into(),
            context: "web".to_owned(),
            name: "db.migrate".to_owned(),
            time: Some(prost_types::Timestamp { seconds: 1_768_444_200, nanos: 250_000_000 }),
            ..Default::default()
        };
        assert_eq!(hex(&datagram(&start, false).expect("bytes")), START);
        let new = proto::RecordRequest {
            kind: proto::Kind::New.into(),
            name: String::new(),
            ..start.clone()
        };
        assert_eq!(hex(&datagram(&new, false).expect("bytes")), NEW);
        assert_eq!(datagram(&start, true).expect("bytes").last(), Some(&0xc3));
        let named = |name: String| proto::RecordRequest { name, ..start.clone() };
        for (length, head) in [(31, "bf"), (32, "d920"), (254, "d9fe"), (255, "da00ff")] {
            let bytes = hex(&datagram(&named("x".repeat(length)), false).expect("bytes"));
            assert!(bytes.contains(&format!("a46e616d65{head}7878")), "{bytes}");
        }
        let long = datagram(&named("x".repeat(1_000)), false).expect_err("too long");
        assert!(long.to_string().contains("1024"), "{long}");
        let beyond = proto::RecordRequest { status: 1, span: "s".to_owned(), ..start };
        let beyond = datagram(&beyond, false).expect_err("no room").to_string();
        assert!(beyond.contains("--span, --status"), "{beyond}");
    }

    #[test]
    fn flags_may_have_one_dash() {
        let of = |words: &str| {
            let words = with_two_dashes(words.split(' ').map(OsString::from));
            words.join(&OsString::from(" ")).into_string().expect("UTF-8")
        };
        for (given, read) in [
            (
                "tally timelines -rh a -rp=1 -autoip start c n",
                "tally timelines --rh a --rp=1 --autoip start c n",
            ),
            ("tally timelines -i -n h end c n", "tally timelines -i -n h end c n"),
            ("tally timelines run c n -- ssh -rh a", "tally timelines run c n -- ssh -rh a"),
            ("tally debts -rh", "tally debts -rh"),
            ("tally", "tally"),
        ] {
            assert_eq!(of(given), read);
        }
    }
}
