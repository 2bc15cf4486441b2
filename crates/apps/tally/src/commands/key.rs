//! `tally key`: keys, on the database itself, so that losing them all can be mended.
//!
//! | file | what it owns |
//! |---|---|
//! | `expiry.rs` | when a key expires, as an argument |
//! | `print.rs` | keys in words |

mod expiry;
mod print;

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};
use tally_access::{Key, Scope, Secret, Store, is_key_name, is_namespace};
use tally_runtime::Clock;
use tally_runtime::config::Problems;
use tally_store::Database;

use self::expiry::{Expiry, parse_expiry, parse_time};
use self::print::{KeyFormat, list, print, words};
use crate::app;
use crate::output::{self, OutputFormat, plural, say, wrong_usage};
use crate::schema::Sets;
use crate::settings::{DatabaseArgs, DatabaseSettings, OF_COMMANDS};

/// Make, list, revoke and rotate keys, on the database itself
///
/// It needs the database and no server. A server that runs with --auth keys knows of it within seconds.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key, and print it: it is shown only now
    Create(CreateArgs),
    /// List the keys, without the keys themselves
    List(ListArgs),
    /// Refuse a key from now on, within seconds on every server
    Revoke(RevokeArgs),
    /// Make a key in place of another one, which stays valid for a while
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What the key is called: letters, digits, hyphens, dots and underscores
    name: String,

    /// What it allows: ingest to count, read to look, admin to do everything
    #[arg(long)]
    scope: ScopeArg,

    /// Where it counts, and what it sees; made if there is none of this name
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,

    /// When it expires: after a time as in 90d or 12h, or at 2030-01-31, or 2030-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires: Option<Expiry>,

    #[command(flatten)]
    printing: PrintingArgs,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// How to print [default: table on a terminal, else csv]
    #[arg(long, value_name = "FORMAT")]
    format: Option<OutputFormat>,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// What the key is called
    name: String,

    /// Which one, if two have this name: its fingerprint, as `tally key list` shows it
    #[arg(long, value_name = "DIGITS")]
    fingerprint: Option<String>,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct RotateArgs {
    /// What the key is called
    name: String,

    /// How long the old key stays valid, as in 24h or 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_time)]
    overlap: SignedDuration,

    /// When the new key expires [default: after as long a time as the old one was made for]
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires: Option<Expiry>,

    #[command(flatten)]
    printing: PrintingArgs,

    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Args)]
struct PrintingArgs {
    /// How to print the key
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: KeyFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeArg {
    /// To count
    Ingest,
    /// To look
    Read,
    /// To do everything, also what the others allow
    Admin,
}

pub(crate) async fn run(
    args: KeyArgs,
    mut problems: Problems,
    clock: &dyn Clock,
) -> anyhow::Result<ExitCode> {
    let settings = args.command.database().check(OF_COMMANDS, &mut problems);
    if let KeyCommand::Create(args) = &args.command {
        args.check(&mut problems);
    }
    if let Err(invalid) = problems.check() {
        return Ok(wrong_usage(invalid));
    }
    let settings = settings.expect("without problems there are settings");
    let (database, is_served) =
        Database::open_beside(&settings.url, settings.pool).await.map_err(app::plain)?;
    prepare(&database, &settings, is_served).await?;
    let store = Store::new(database.clone());
    let now = clock.now();
    let done = match args.command {
        KeyCommand::Create(args) => create(&store, &args, now).await,
        KeyCommand::List(args) => {
            let keys = store.keys().await.map_err(app::plain);
            keys.and_then(|keys| list(&keys, args.format, now))
        }
        KeyCommand::Revoke(args) => revoke(&store, &args, now).await,
        KeyCommand::Rotate(args) => rotate(&store, &args, now).await,
    };
    app::close(&database).await;
    done.map(|()| ExitCode::SUCCESS)
}

/// Brings the tables that keys need up to date, unless a server does.
async fn prepare(
    database: &Database,
    settings: &DatabaseSettings,
    is_served: bool,
) -> anyhow::Result<()> {
    let sets = Sets::shared();
    if !is_served {
        sets.run(database).await.map_err(app::plain)?;
        return Ok(());
    }
    if !sets.check(database).await.map_err(app::plain)?.pending().is_empty() {
        bail!("{} lacks tables: restart its server with this version of Tally", settings.url);
    }
    Ok(())
}

async fn create(store: &Store, args: &CreateArgs, now: Timestamp) -> anyhow::Result<()> {
    let namespace = store.some_namespace(&args.namespace).await.map_err(app::plain)?;
    let scope = args.scope.into();
    let secret = Secret::of_key(scope);
    let key = Key {
        digest: secret.digest(),
        name: args.name.clone(),
        namespace,
        namespace_name: args.namespace.clone(),
        scope,
        created: now,
        expires: args.expires.map(|expiry| expiry.at(now)).transpose()?,
        revoked: None,
        last_used: None,
    };
    if !store.add(&key).await.map_err(app::plain)? {
        let name = &args.name;
        bail!(
            "there is a key {name} already: tally key rotate {name} replaces it, tally key revoke \
             {name} ends it"
        );
    }
    made(&key, &secret, args.printing.format)
}

async fn rotate(store: &Store, args: &RotateArgs, now: Timestamp) -> anyhow::Result<()> {
    let old: Vec<_> = valid(store, &args.name, now).await?;
    let last = old.iter().max_by_key(|key| key.created).expect("there is one");
    let expires = match (args.expires, last.expires) {
        (Some(expiry), _) => Some(expiry.at(now)?),
        (None, Some(expires)) => Some(Expiry::After(expires.duration_since(last.created)).at(now)?),
        (None, None) => None,
    };
    let secret = Secret::of_key(last.scope);
    let key =
        Key { digest: secret.digest(), created: now, expires, last_used: None, ..last.clone() };
    let until = Expiry::After(args.overlap).at(now)?;
    let replaced: Vec<_> = old.iter().map(|key| key.digest).collect();
    store.replace(&replaced, until, &key).await.map_err(app::plain)?;
    made(&key, &secret, args.printing.format)?;
    let until = until.strftime("%Y-%m-%d %H:%M");
    say(format_args!("the old one is accepted until {until} UTC at the latest"));
    Ok(())
}

/// Shows a key that was made, and says what it is.
fn made(key: &Key, secret: &Secret, format: KeyFormat) -> anyhow::Result<()> {
    print(key, secret, format)?;
    say(format_args!("made the key {}: {}; keep it, it is not shown again", key.name, words(key)));
    Ok(())
}

async fn revoke(store: &Store, args: &RevokeArgs, now: Timestamp) -> anyhow::Result<()> {
    let mut keys = valid(store, &args.name, now).await?;
    if let Some(wanted) = &args.fingerprint {
        keys.retain(|key| key.digest.fingerprint() == wanted.to_ascii_lowercase());
        if keys.is_empty() {
            bail!("no valid key {} has this fingerprint: tally key list shows them", args.name);
        }
    }
    for key in &keys {
        store.revoke(key.digest, now).await.map_err(app::plain)?;
        say(format_args!("revoked the key {} ({})", key.name, key.digest.fingerprint()));
    }
    say(format_args!("servers refuse it within 5 s; {} ended", plural(keys.len() as u64, "key")));
    Ok(())
}

async fn valid(store: &Store, name: &str, now: Timestamp) -> anyhow::Result<Vec<Key>> {
    let mut keys = store.keys().await.map_err(app::plain)?;
    keys.retain(|key| key.name == name && key.is_valid(now));
    if keys.is_empty() {
        bail!("there is no valid key {}: tally key list shows all", output::visible(name));
    }
    Ok(keys)
}

// === impl KeyCommand ===

impl KeyCommand {
    fn database(&self) -> &DatabaseArgs {
        match self {
            Self::Create(args) => &args.database,
            Self::List(args) => &args.database,
            Self::Revoke(args) => &args.database,
            Self::Rotate(args) => &args.database,
        }
    }
}

// === impl CreateArgs ===

impl CreateArgs {
    fn check(&self, problems: &mut Problems) {
        if !is_key_name(&self.name) {
            problems.add(format!(
                "NAME: \u{201c}{}\u{201d}: a name has 1 to 63 letters, digits, hyphens, dots and \
                 underscores",
                output::visible(&self.name)
            ));
        }
        if !is_namespace(&self.namespace) {
            problems.add(format!(
                "--namespace: \u{201c}{}\u{201d}: a namespace has 1 to 63 lower-case letters, digits \
                 and hyphens",
                output::visible(&self.namespace)
            ));
        }
    }
}

// === impl ScopeArg ===

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Ingest => Self::Ingest,
            ScopeArg::Read => Self::Read,
            ScopeArg::Admin => Self::Admin,
        }
    }
}
