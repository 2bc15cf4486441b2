//! `tally rules`: conditions on counts that the server watches, and tells a webhook of.
//!
//! | file | what it owns |
//! |---|---|
//! | `args.rs` | limits and times as arguments |
//! | `print.rs` | rules and their events in words |

mod args;
mod print;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use tally_proto::tally::requests::v1::{
    AddRuleRequest, Event, ListRulesRequest, RemoveRuleRequest, Rule, ShowRuleRequest,
    TestRuleRequest,
};
use tokio::time::{Instant, sleep};
use tonic::Status;

use self::args::Bound;
use super::flags::describe_in_flags;
use super::series::Filters;
use crate::client::{ServerArgs, describe};
use crate::output::{self, OutputFormat, say, visible};

/// How long `test` waits for what becomes of the event, and between two looks.
const TEST_WAIT: Duration = Duration::from_secs(15);
const TEST_PAUSE: Duration = Duration::from_millis(250);

/// Keep rules about counts: what is too few, too many or too large a share
///
/// The server judges rules by what is counted, four times a minute. Counts are kept
/// by quarter-hour, so windows are made of whole ones: too few requests are known a
/// minute after the end of a quarter-hour; too many, or a share, at once.
///
/// A webhook is told when a rule fires and when it is fine again. The server must
/// allow it by --webhooks-allow. Without one, a rule can be looked at.
///
/// Examples:
///   tally rules add 'shop is silent' --service shop --below 1 --in 15m --webhook https://hooks.example.com/x
///   tally rules add 'errors' --status 5xx --above 5% --in 15m --at-least 100
///   tally rules add 'acme' --customer acme --above 100000 --in 1d --repeat 4h
///   tally rules list
///   tally rules show 'shop is silent'
///   tally rules test 'shop is silent'
///   tally rules remove 'shop is silent'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    Add(Box<AddArgs>),
    List(ListArgs),
    /// Show what a rule counts now, and what became of its latest events
    Show(NamedArgs),
    /// Remove a rule, and its events that are not delivered
    Remove(NamedArgs),
    /// Send a test event to a rule's webhook, and wait for what becomes of it
    Test(NamedArgs),
}

/// Add a rule
///
/// It is about requests that pass the filters, in a window of time. Given a
/// percentage, it is about the share of the statuses that --status names, of all
/// requests that pass the other filters.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
struct AddArgs {
    /// What it is called; unique
    name: String,

    #[command(flatten)]
    filters: Filters,

    #[command(flatten)]
    limit: LimitArgs,

    /// The window: minutes, hours or days, as in 15m, 2h or 1d; a multiple of 15m, up to 7d
    #[arg(long = "in", value_name = "TIME", value_parser = args::parse_minutes)]
    window: u32,

    /// Of how many requests a share says something [default: 100]
    #[arg(long, value_name = "N")]
    at_least: Option<u32>,

    /// Tell it again this long after the last time, while it fires; as in 4h
    #[arg(long, value_name = "TIME", value_parser = args::parse_minutes)]
    repeat: Option<u32>,

    /// Where its events go: a URL that the server's --webhooks-allow names, or mailto: and an address that its
    /// --smtp-allow names
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    webhook: String,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
#[group(id = "limit", required = true, multiple = false)]
struct LimitArgs {
    /// Fire at fewer requests than this, or at a smaller share, as in 95%
    #[arg(long, value_name = "N|N%", value_parser = args::parse_bound)]
    below: Option<Bound>,

    /// Fire at more requests than this, or at a larger share, as in 5%
    #[arg(long, value_name = "N|N%", value_parser = args::parse_bound)]
    above: Option<Bound>,
}

/// List the rules, and which of them fire
#[derive(Debug, Args)]
struct ListArgs {
    /// How to print [default: table on a terminal, csv elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct NamedArgs {
    /// The rule's name, or its id
    name: String,

    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) async fn run(args: RulesArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        RulesCommand::Add(args) => add(*args).await,
        RulesCommand::List(args) => list(args).await,
        RulesCommand::Show(args) => show(args).await,
        RulesCommand::Remove(args) => remove(args).await,
        RulesCommand::Test(args) => test(args).await,
    }
}

async fn add(args: AddArgs) -> anyhow::Result<ExitCode> {
    let limit = args::limit(args.limit.below, args.limit.above);
    let (statuses, status_classes) = (args.filters.statuses(), args.filters.status_classes());
    let Filters { service, method, path, path_prefix, customer, .. } = args.filters;
    let rule = Rule {
        name: args.name,
        services: service,
        methods: method,
        paths: path,
        path_prefix,
        statuses,
        status_classes,
        customers: customer,
        limit,
        window_minutes: args.window,
        at_least: args.at_least.unwrap_or_default(),
        repeat_minutes: args.repeat.unwrap_or_default(),
        webhook: args.webhook,
    };
    let mut client = args.server.rules().await?;
    let request = AddRuleRequest { rule: Some(rule) };
    let answer = args.server.answer_or_signal(client.add_rule(request)).await?;
    let failed = |status| anyhow!("cannot add the rule: {}", describe_in_flags(&status));
    let answer = answer.map_err(failed)?.into_inner();
    let kept = answer.rule.unwrap_or_default();
    let rule = kept.rule.unwrap_or_default();
    let condition = visible(&kept.condition);
    let done = if answer.is_repeated { "is there already" } else { "added" };
    say(format_args!("{done}: {}: {condition}", visible(&rule.name)));
    if rule.webhook.is_empty() {
        say("it has no --webhook, so it tells nobody: `tally rules list` shows whether it fires");
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    let format = OutputFormat::or_usual(args.format);
    let mut client = args.server.rules().await?;
    let answer = args.server.answer(client.list_rules(ListRulesRequest {})).await;
    let rules = answer.map_err(|status| failed("list the rules", &status))?.into_inner().rules;
    output::written(print::list(&mut output::stdout(), format, &rules))?;
    if rules.is_empty() {
        say("there are no rules: `tally rules add --help` shows how to add one");
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(args: NamedArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.rules().await?;
    let request = ShowRuleRequest { rule: args.name };
    let answer = args.server.answer(client.show_rule(request)).await;
    let answer = answer.map_err(|status| failed("show the rule", &status))?.into_inner();
    output::written(print::show(&mut output::stdout(), &answer))?;
    Ok(ExitCode::SUCCESS)
}

async fn remove(args: NamedArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.rules().await?;
    let request = RemoveRuleRequest { rule: args.name };
    let answer = args.server.answer_or_signal(client.remove_rule(request)).await?;
    let answer = answer.map_err(|status| failed("remove the rule", &status))?.into_inner();
    let name = answer.rule.unwrap_or_default().rule.unwrap_or_default().name;
    say(format_args!("removed: {}", visible(&name)));
    Ok(ExitCode::SUCCESS)
}

async fn test(args: NamedArgs) -> anyhow::Result<ExitCode> {
    let mut client = args.server.rules().await?;
    let request = TestRuleRequest { rule: args.name.clone() };
    let answer = args.server.answer_or_signal(client.test_rule(request)).await?;
    let id = answer.map_err(|status| failed("test the rule", &status))?.into_inner().event_id;
    let until = Instant::now() + TEST_WAIT;
    loop {
        let request = ShowRuleRequest { rule: args.name.clone() };
        let answer = args.server.answer(client.show_rule(request)).await;
        let events = answer.map_err(|status| failed("show the rule", &status))?.into_inner().events;
        let Some(event) = events.into_iter().find(|event| event.id == id) else {
            bail!("the event {id} is gone: the rule was removed");
        };
        if event.delivered_at.is_some() {
            say(format_args!("delivered: {} ({})", visible(&event.answer), event.id));
            return Ok(ExitCode::SUCCESS);
        }
        if !event.answer.is_empty() || event.dead_at.is_some() || Instant::now() >= until {
            bail!("{}", undelivered(&event, &args.name));
        }
        sleep(TEST_PAUSE).await;
    }
}

fn undelivered(event: &Event, name: &str) -> String {
    let why = if event.answer.is_empty() { "no answer yet" } else { &event.answer };
    let next = if event.dead_at.is_some() { "it is given up" } else { "the server tries it again" };
    format!(
        "not delivered: {}; {next}, and `tally rules show '{}'` says what becomes of it",
        visible(why),
        visible(name)
    )
}

fn failed(what: &str, status: &Status) -> anyhow::Error {
    anyhow!("cannot {what}: {}", describe(status))
}
