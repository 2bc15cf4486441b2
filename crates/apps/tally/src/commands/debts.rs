//! `tally debts`: expected events that must happen in time, and their payments.
//!
//! | file | what it owns |
//! |---|---|
//! | `define.rs` | what is agreed of a debt, as flags and as a file |
//! | `export.rs` | `tally debts export` |
//! | `import.rs` | `tally debts import`: each line by itself, and all refusals |
//! | `print.rs` | debts, payments, runs and flips as tables and lists |
//! | `run.rs` | `tally debts run`: a command, its payments, and what could not be told |
//! | `words.rs` | debts and payments in a few words |

mod define;
mod export;
mod import;
mod print;
mod run;
mod words;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use tally_proto::tally::debts::v1 as proto;
use tally_proto::tally::debts::v1::debt_service_client::DebtServiceClient;
use tally_runtime::random;
use tonic::Status;

use self::define::DefinitionArgs;
use crate::client::patience::Failed;
use crate::client::{Caller, MESSAGE_BYTES_MAX, ServerArgs, describe, may_be_done};
use crate::commands::run::tell;
use crate::output::{self, OutputFormat, plural, say};

/// How long a payment is tried while the server is away.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keep debts: what must happen in time, and whether it did
///
/// A debt is an expected event: a cron job that must run, a heartbeat, a deployment
/// that must finish. Whoever does it pays. When a payment does not come in time,
/// the debt is overdue, and whoever is to be notified is told once, and once more
/// when it recovers.
///
/// Examples:
///   tally debts add backup --cron '0 3 * * *' --tz Europe/Berlin --grace 1h
///   tally debts add beat --every 1m --grace 30s
///   tally debts run backup -- /usr/local/bin/backup.sh
///   tally debts pay beat
///   tally debts list
///   tally debts show backup
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct DebtsArgs {
    #[command(subcommand)]
    command: DebtsCommand,
}

#[derive(Debug, Subcommand)]
enum DebtsCommand {
    Add(Box<AddArgs>),
    Change(Box<ChangeArgs>),
    List(ListArgs),
    /// Show a debt: its open runs, its next times, its latest alarms and payments
    Show(NamedArgs),
    Pay(Box<PayArgs>),
    Run(Box<run::RunArgs>),
    /// Pause a debt: payments are recorded, and nothing is overdue
    Pause(NamedArgs),
    /// Resume a debt: its limits begin again now
    Resume(NamedArgs),
    /// Forget a debt, with its payments and runs
    Forget(NamedArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    RenewBadges(RenewBadgesArgs),
}

/// Add a debt
///
/// The same one again changes nothing.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct AddArgs {
    /// What it is called; unique: a-z, 0-9, - and _
    slug: String,

    #[command(flatten)]
    definition: DefinitionArgs,

    #[command(flatten)]
    server: ServerArgs,
}

/// Give a debt other terms: those of the flags, instead of all that it had
///
/// What no flag says is dropped: the schedule, limits, tags and whom it notifies. So give
/// all that is to hold; `tally debts show` shows what holds now.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct ChangeArgs {
    /// The debt's slug, number or id
    debt: String,

    /// Another slug
    #[arg(long, value_name = "SLUG")]
    slug: Option<String>,

    #[command(flatten)]
    definition: DefinitionArgs,

    #[command(flatten)]
    server: ServerArgs,
}

/// List the debts, the overdue ones first
#[derive(Debug, Args)]
struct ListArgs {
    /// Only debts that stand so
    #[arg(long, value_enum)]
    status: Vec<print::Status>,

    /// Only debts that have this tag; all of them, if it is given several times
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// Only debts that have this in their slug or name
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    search: String,

    /// How to print [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct NamedArgs {
    /// The debt's slug, number or id
    debt: String,

    #[command(flatten)]
    server: ServerArgs,
}

/// Pay a debt: it is done, unless the flags say something else
///
/// The command may be repeated as long as it has the same --key or --run: it counts
/// once. Without either, it draws a key, and tries again by itself when the answer
/// is lost.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct PayArgs {
    /// The debt's slug, number or id
    debt: String,

    /// What it says
    #[arg(long, value_enum, default_value = "success")]
    kind: print::PaymentKind,

    /// Which run it belongs to
    #[arg(long = "run-id", value_name = "ID", default_value = "", hide_default_value = true)]
    run: String,

    /// Which stage the run has come to; implies --kind stage
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,

    /// What a command ended with: with anything but 0, it is a failure
    #[arg(long, value_name = "STATUS")]
    exit_status: Option<u8>,

    /// A message that is kept with it; the first 10,000 bytes
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,

    /// Under the same key it counts once
    #[arg(long = "idempotency-key", value_name = "KEY")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    server: ServerArgs,
}

/// Make all links of badges void, and others in their place
///
/// For links that somebody has who is not to see how debts stand. `tally debts show` has
/// the new ones. Another server may take an old one for 10 seconds more.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct RenewBadgesArgs {
    #[command(flatten)]
    server: ServerArgs,
}

// === impl ServerArgs ===

impl ServerArgs {
    pub(crate) async fn debts(&self) -> anyhow::Result<DebtServiceClient<Caller>> {
        let client = DebtServiceClient::new(self.connect().await?);
        Ok(client.max_decoding_message_size(MESSAGE_BYTES_MAX))
    }
}

pub(crate) async fn run(args: DebtsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        DebtsCommand::Add(args) => add(*args).await,
        DebtsCommand::Change(args) => change(*args).await,
        DebtsCommand::List(args) => list(args).await,
        DebtsCommand::Show(args) => show(args).await,
        DebtsCommand::Pay(args) => pay(*args).await,
        DebtsCommand::Run(args) => run::run(*args).await,
        DebtsCommand::Pause(args) => pause(args).await,
        DebtsCommand::Resume(args) => resume(args).await,
        DebtsCommand::Forget(args) => forget(args).await,
        DebtsCommand::Export(args) => export::run(args).await,
        DebtsCommand::Import(args) => import::run(args).await,
        DebtsCommand::RenewBadges(args) => renew_badges(args).await,
    }
}

async fn add(args: AddArgs) -> anyhow::Result<ExitCode> {
    let definition = match args.definition.read(args.slug) {
        Ok(definition) => Some(definition),
        Err(why) => return Ok(output::wrong_usage(why)),
    };
    let mut client = args.server.debts().await?;
    let call = client.add_debt(proto::AddDebtRequest { definition });
    let answer = args.server.answer_or_signal(call).await?;
    let answer = answer.map_err(|status| failed("add the debt", &status))?.into_inner();
    let debt = answer.debt.unwrap_or_default();
    let done = if answer.is_repeated { "is there already" } else { "added" };
    say(format_args!("{done}: {}", words::brief(&debt)));
    let slug = words::slug(&debt);
    say(format_args!("pay it by: tally debts pay {slug}, or tally debts run {slug} -- COMMAND"));
    Ok(ExitCode::SUCCESS)
}

async fn change(args: ChangeArgs) -> anyhow::Result<ExitCode> {
    if args.definition.is_empty() {
        return Ok(output::wrong_usage(
            "`tally debts change` replaces all terms of the debt, its schedule, limits, tags and whom it \
             notifies, by those of the flags, and none is given: give all that is to hold, as in \
             --every 1h --grace 5m; `tally debts show` shows what holds now",
        ));
    }
    let mut definition = match args.definition.read(args.slug.unwrap_or_default()) {
        Ok(definition) => definition,
        Err(why) => return Ok(output::wrong_usage(why)),
    };
    let mut client = args.server.debts().await?;
    if definition.slug.is_empty() {
        let call = client.show_debt(proto::ShowDebtRequest { debt: args.debt.clone() });
        let shown = args.server.answer(call).await;
        let shown = shown.map_err(|status| failed("find the debt", &status))?.into_inner();
        words::slug(&shown.debt.unwrap_or_default()).clone_into(&mut definition.slug);
    }
    let definition = Some(definition);
    let call = client.update_debt(proto::UpdateDebtRequest { debt: args.debt, definition });
    let answer = args.server.answer_or_signal(call).await?;
    let answer = answer.map_err(|status| failed("change the debt", &status))?.into_inner();
    let done = if answer.is_unchanged { "is so already" } else { "changed" };
    say(format_args!("{done}: {}", words::brief(&answer.debt.unwrap_or_default())));
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let format = OutputFormat::or_usual(args.format);
    let mut client = args.server.debts().await?;
    let mut request = proto::ListDebtsRequest {
        statuses: args.status.iter().map(|one| one.number()).collect(),
        tags: args.tag,
        search: args.search,
        ..proto::ListDebtsRequest::default()
    };
    let (mut debts, mut counts) = (Vec::new(), Vec::new());
    loop {
        let answer = args.server.answer(client.list_debts(request.clone())).await;
        let answer = answer.map_err(|status| failed("list the debts", &status))?.into_inner();
        debts.extend(answer.debts);
        counts = if counts.is_empty() { answer.counts } else { counts };
        if answer.next.is_empty() {
            break;
        }
        request.after = answer.next;
    }
    output::written(print::list(&mut output::stdout(), format, &debts))?;
    if counts.iter().sum::<i64>() == 0 {
        say("there are no debts: `tally debts add --help` shows how to add one");
    } else if format == OutputFormat::Table {
        say(print::counted(debts.len(), &counts));
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: NamedArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.debts().await?;
    let what = |status: Status| failed("show the debt", &status);
    let call = client.show_debt(proto::ShowDebtRequest { debt: args.debt.clone() });
    let shown = args.server.answer(call).await.map_err(what)?.into_inner();
    let (debt, limit, before) = (args.debt, print::SHOWN_MAX, 0);
    let call = client.list_flips(proto::ListFlipsRequest { debt: debt.clone(), limit, before });
    let flips = args.server.answer(call).await.map_err(what)?.into_inner().flips;
    let call = client.list_payments(proto::ListPaymentsRequest { debt, limit, before });
    let payments = args.server.answer(call).await.map_err(what)?.into_inner().payments;
    output::written(print::show(&mut output::stdout(), &shown, &flips, &payments))?;
    Ok(ExitCode::SUCCESS)
}

async fn pay(args: PayArgs) -> anyhow::Result<ExitCode> {
    let kind = match &args.stage {
        Some(_) => proto::PaymentKind::Stage,
        None => args.kind.of(args.exit_status),
    };
    let drawn = || format!("{:016x}{:016x}", random::number(), random::number());
    let request = proto::PayRequest {
        debt: args.debt,
        kind: kind.into(),
        run: args.run,
        stage: args.stage.unwrap_or_default(),
        exit_status: args.exit_status.map(u32::from),
        body: args.message.into_bytes(),
        idempotency_key: args.idempotency_key.unwrap_or_else(drawn),
        ..proto::PayRequest::default()
    };
    let paid = tell(&args.server, request, PATIENCE, false).await;
    let paid = paid.map_err(Failed::into_error)?;
    say(words::paid(&paid));
    Ok(ExitCode::SUCCESS)
}

async fn pause(args: NamedArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.debts().await?;
    let call = client.pause_debt(proto::PauseDebtRequest { debt: args.debt });
    let answer = args.server.answer_or_signal(call).await?;
    let answer = answer.map_err(|status| failed("pause the debt", &status))?.into_inner();
    say(format_args!("paused: {}", words::brief(&answer.debt.unwrap_or_default())));
    Ok(ExitCode::SUCCESS)
}

async fn resume(args: NamedArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.debts().await?;
    let call = client.resume_debt(proto::ResumeDebtRequest { debt: args.debt });
    let answer = args.server.answer_or_signal(call).await?;
    let answer = answer.map_err(|status| failed("resume the debt", &status))?.into_inner();
    say(format_args!("resumed: {}", words::brief(&answer.debt.unwrap_or_default())));
    Ok(ExitCode::SUCCESS)
}

async fn forget(args: NamedArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.debts().await?;
    let call = client.forget_debt(proto::ForgetDebtRequest { debt: args.debt });
    let answer = args.server.answer_or_signal(call).await?;
    let answer = answer.map_err(|status| failed("forget the debt", &status))?.into_inner();
    let debt = answer.debt.unwrap_or_default();
    let payments = plural(debt.payments, "payment");
    say(format_args!("forgotten: {}, with {payments}", words::slug(&debt)));
    Ok(ExitCode::SUCCESS)
}

async fn renew_badges(args: RenewBadgesArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.debts().await?;
    let call = client.renew_badges(proto::RenewBadgesRequest {});
    let answer = args.server.answer_or_signal(call).await?;
    answer.map_err(|status| failed("renew the badges", &status))?;
    say("renewed: the links of badges that were there are void");
    Ok(ExitCode::SUCCESS)
}

fn failed(what: &str, status: &Status) -> anyhow::Error {
    let again = if may_be_done(status) { "; it may be done all the same" } else { "" };
    anyhow!("cannot {what}: {}{again}", describe(status))
}
