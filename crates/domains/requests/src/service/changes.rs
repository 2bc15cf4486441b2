//! Corrections, merges and forgets.

use std::sync::Arc;

use hashbrown::HashMap;
use tally_proto::wire::{
    CUSTOMER_BYTES_MAX, FORGOTTEN, PATH_BYTES_MAX, SERVICE_BYTES_MAX, is_reserved,
};
use tally_runtime::{Kind, random};

use super::Service;
use crate::changes::{
    Change, ChangeKind, Changed, Changes, Draft, Line, MovedAway, Outdated, Plan, REGEXES_MAX,
    RENAMINGS_MAX, TooSlow, Version,
};
use crate::corrections::{
    AUTHOR_BYTES_MAX, Balance, Corrected, Correction, LISTED_MAX, Listed, check_text,
};
use crate::error::Error;
use crate::house::House;
use crate::model::{Day, DayRange, Series, SeriesId};
use crate::periods::{Granularity, QuarterRange, Zone};
use crate::renaming::{Renaming, Renamings};
use crate::selection::{NewNames, PathIs, Selection};
use crate::totals::{GroupBy, Query};

/// How often a change is decided again because another one was first.
const ATTEMPTS_MAX: usize = 10;
/// How long a regex may be, in bytes.
const REGEX_BYTES_MAX: usize = 1_000;

// === impl Service ===

impl Service {
    /// Corrects a total. What was stored until now is folded first, because only that counts.
    pub(crate) async fn correct(
        &self,
        correction: Correction,
        is_dry_run: bool,
    ) -> Result<Balance, Error> {
        correction.check(Day::of(self.intake.clock.now()))?;
        let series = self.intake.series.renamed((&correction.series).into());
        let correction = match series {
            Some(series) => Correction { series, ..correction },
            None => correction,
        };
        let store = self.store();
        self.one_at_a_time("correct a total", async move {
            store.fold().await.map_err(Error::store("fold"))?;
            let done = store.correct(&correction, is_dry_run).await;
            done.map_err(|error| match error.find::<Error>() {
                Some(refused) => Error::Refused(refused.kind(), refused.to_string().into()),
                None => Error::store("correct a total")(error),
            })
        })
        .await
    }

    /// The corrections of these days.
    pub(crate) async fn corrections(&self, days: DayRange) -> Result<Vec<Corrected>, Error> {
        let listed = Listed { days, limit: LISTED_MAX + 1 };
        let _place = self.queries.acquire().await;
        let found = self.house.store.corrections(listed).await;
        let found = found.map_err(Error::store("list corrections"))?;
        if found.len() > LISTED_MAX {
            let text = format!("{days} has more than {LISTED_MAX} corrections: ask for fewer days");
            return Err(Error::AnswerTooLarge(text));
        }
        Ok(found)
    }

    /// Merges or forgets series.
    pub(crate) async fn change(&self, change: Change) -> Result<Changed, Error> {
        let change = change.checked()?;
        let house = self.house.clone();
        let is_dry_run = change.is_dry_run;
        let name = change.kind.text();
        let text_bytes_max = self.intake.path_bytes_max;
        if change.into.path.as_ref().is_some_and(|path| path.len() > text_bytes_max) {
            let text = format!("into_path: has more than {text_bytes_max} bytes");
            return Err(Error::invalid(text));
        }
        let changed = self
            .one_at_a_time(name, async move {
                for _ in 0..ATTEMPTS_MAX {
                    if let Some(changed) = decide_and_move(&house, &change).await? {
                        return Ok(changed);
                    }
                }
                let text =
                    "other series are being merged or forgotten all the time: try again later";
                Err(Error::Refused(Kind::Unavailable, text.into()))
            })
            .await?;
        if !is_dry_run {
            let requests: i64 = changed.series.iter().map(|one| one.1).fold(0, i64::saturating_add);
            // Without names: they are what is to be forgotten.
            tracing::info!(change = name, series = changed.series.len(), requests, "series moved");
        }
        Ok(changed)
    }
}

/// Decides what moves, and does it. None if another change was first.
async fn decide_and_move(house: &House, change: &Change) -> Result<Option<Changed>, Error> {
    let store = &house.store;
    let failed = || Error::store(change.kind.step());
    let mut changes = store.changes(Version::default()).await.map_err(failed())?;
    let (known, _) = store.series(usize::MAX, usize::MAX).await.map_err(failed())?;
    let renaming = Arc::new(change.renaming(&changes)?);
    let is_kept = change.is_kept(&renaming, &changes);
    let redacted = match change.kind {
        ChangeKind::Forget => changes.redacted(&renaming),
        ChangeKind::Merge => Vec::new(),
    };
    let is_new = changes.add(&renaming);
    let mut plan = Plan::new(changes.renamings.clone(), Some(Arc::clone(&renaming)));
    plan.see_all(&known).await.map_err(|slow: TooSlow| Error::invalid(slow.to_string()))?;
    change.check_extent(&plan, &known, is_new)?;
    let changed = Changed { series: with_requests(house, change, &known, &plan).await?, is_kept };
    let is_nothing = plan.moves.is_empty() && redacted.is_empty();
    if change.is_dry_run || (is_nothing && !(is_new && is_kept)) {
        return Ok(Some(changed));
    }
    let requests = changed.series.iter().map(|one| one.1).fold(0, i64::saturating_add);
    let line = change.line(&renaming, is_new && is_kept, requests);
    let draft = Draft { version: changes.version, plan, line: Some(line), redacted };
    match store.move_series(&draft).await {
        Ok(_) => {}
        Err(error) if error.find::<Outdated>().is_some() => return Ok(None),
        Err(error) if error.find::<MovedAway>().is_some() => {
            return Err(Error::Refused(Kind::FailedPrecondition, MovedAway.to_string().into()));
        }
        Err(error) => return Err(failed()(error)),
    }
    // From here on it is decided: if anything fails, or this server, the duties go on.
    house.follow_changes().await.map_err(failed())?;
    store.settle().await.map_err(failed())?;
    Ok(Some(changed))
}

/// What moves, with the live totals of each.
async fn with_requests(
    house: &House,
    change: &Change,
    known: &[(SeriesId, Series)],
    plan: &Plan,
) -> Result<Vec<(Series, i64)>, Error> {
    let names: HashMap<SeriesId, &Series> = known.iter().map(|(id, one)| (*id, one)).collect();
    let mut moving: Vec<(Series, i64)> = plan
        .moves
        .iter()
        .filter_map(|(id, _)| names.get(id))
        .map(|one| ((*one).clone(), 0))
        .collect();
    if moving.is_empty() {
        return Ok(moving);
    }
    let query = Query {
        range: QuarterRange::ALL,
        granularity: Granularity::Whole,
        zone: Zone::utc(),
        filter: change.selection.filter(),
        group_by: vec![
            GroupBy::Service,
            GroupBy::Method,
            GroupBy::Path,
            GroupBy::Status,
            GroupBy::Customer,
        ],
        live: true,
        with_corrections: false,
        sum: false,
        totals_max: usize::MAX,
        limit: None,
    };
    let totals = house.store.totals(&query).await.map_err(Error::store("count what moves"))?;
    let mut counts: HashMap<(&str, &str, &str, u16, &str), i64> = HashMap::new();
    for (group, count) in totals.periods.iter().flat_map(|period| &period.counts) {
        let of = &totals.groups[*group as usize];
        counts.insert((&of.service, &of.method, &of.path, of.status, &of.customer), *count);
    }
    for (one, count) in &mut moving {
        let key = (&*one.service, &*one.method, &*one.path, one.status, &*one.customer);
        *count = counts.get(&key).copied().unwrap_or_default();
    }
    moving.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.path.cmp(&b.0.path)));
    Ok(moving)
}

// === impl ChangeKind ===

impl ChangeKind {
    fn step(self) -> &'static str {
        match self {
            Self::Forget => "forget series",
            Self::Merge => "merge series",
        }
    }
}

// === impl Change ===

impl Change {
    /// Checks what is wrong with it, whatever the database has. A forget gets its new names.
    fn checked(mut self) -> Result<Self, Error> {
        check_text("author", &self.author, AUTHOR_BYTES_MAX)?;
        let Selection { path, service, customer } = &self.selection;
        if path.is_none() && service.is_none() && customer.is_none() {
            return Err(Error::invalid(
                "selection: is empty; name a path, the beginning of paths, a regex for paths, a \
                 service or a customer",
            ));
        }
        let (field, text, max) = match path {
            Some(PathIs::Exactly(path)) => ("path", &**path, PATH_BYTES_MAX),
            Some(PathIs::BeginsWith(prefix)) => ("path_prefix", &**prefix, PATH_BYTES_MAX),
            Some(PathIs::Matches(regex)) => ("path_regex", &**regex, REGEX_BYTES_MAX),
            None => ("path", "/", 1),
        };
        let service = service.as_deref().unwrap_or("_");
        let customer = customer.as_deref().unwrap_or("_");
        for (field, text, max) in [
            (field, text, max),
            ("service", service, SERVICE_BYTES_MAX),
            ("customer", customer, CUSTOMER_BYTES_MAX),
        ] {
            if text.is_empty() {
                return Err(Error::invalid(format!("{field}: is empty")));
            }
            if is_reserved(text) {
                let text = format!("{field}: {text} is Tally's own, and stays what it is");
                return Err(Error::invalid(text));
            }
            check_text(field, text, max)?;
        }
        match self.kind {
            ChangeKind::Forget => {
                let forgotten = |is_selected: bool| is_selected.then(|| FORGOTTEN.into());
                let Selection { path, service, customer } = &self.selection;
                self.into = NewNames {
                    service: forgotten(service.is_some()),
                    path: forgotten(path.is_some()),
                    customer: forgotten(customer.is_some()),
                };
            }
            ChangeKind::Merge => self.check_into()?,
        }
        Ok(self)
    }

    fn check_into(&self) -> Result<(), Error> {
        let NewNames { service, path, customer } = &self.into;
        if self.into == NewNames::default() {
            return Err(Error::invalid(
                "into: is empty; name the path, the service or the customer to merge into",
            ));
        }
        if path.as_ref().is_some_and(|path| path.is_empty()) {
            return Err(Error::invalid("into_path: is empty"));
        }
        for (field, text, max) in [
            ("into_path", path, PATH_BYTES_MAX),
            ("into_service", service, SERVICE_BYTES_MAX),
            ("into_customer", customer, CUSTOMER_BYTES_MAX),
        ] {
            let text = text.as_deref().unwrap_or_default();
            if is_reserved(text) {
                let text = format!("{field}: {text} is Tally's own; name another one");
                return Err(Error::invalid(text));
            }
            check_text(field, text, max)?;
        }
        Ok(())
    }

    /// What it says about series, checked against what others have said before.
    fn renaming(&self, changes: &Changes) -> Result<Renaming, Error> {
        let renaming = Renaming::of(&self.selection, self.into.clone());
        let renaming = renaming.map_err(|bad| Error::invalid(format!("path_regex: {bad}")))?;
        let Renamings(earlier) = &changes.renamings;
        if renaming.is_idle() {
            return Err(Error::invalid(
                "into: is what is selected; it cannot be merged into itself",
            ));
        }
        if earlier.iter().any(|one| renaming.leads_into(one)) {
            let text = "into: what it names was itself merged or forgotten, or would be merged back \
                        in a circle: name what that has become";
            return Err(Error::Refused(Kind::FailedPrecondition, text.into()));
        }
        Ok(renaming)
    }

    /// Whether series that come later follow it: of a regex, a forget keeps nothing, and there may be no
    /// room for more.
    fn is_kept(&self, renaming: &Renaming, changes: &Changes) -> bool {
        let Renamings(earlier) = &changes.renamings;
        if earlier.iter().any(|one| one.is(renaming)) {
            return true;
        }
        let regexes = earlier.iter().filter(|one| one.has_regex()).count();
        let has_room = earlier.len() < RENAMINGS_MAX;
        match (renaming.has_regex(), self.kind) {
            (true, ChangeKind::Forget) => false,
            (true, ChangeKind::Merge) => has_room && regexes < REGEXES_MAX,
            (false, _) => has_room,
        }
    }

    /// Refuses what is about everything, unless that is what is wanted, and a merge that is about nothing.
    fn check_extent(
        &self,
        plan: &Plan,
        known: &[(SeriesId, Series)],
        is_new: bool,
    ) -> Result<(), Error> {
        if self.kind == ChangeKind::Merge && is_new && plan.selected == 0 {
            let text = "selection: no series has all of this; check the spelling";
            return Err(Error::Refused(Kind::NotFound, text.into()));
        }
        if self.kind == ChangeKind::Merge && plan.has_circle {
            let text = "into: earlier merges lead back from there, in a circle";
            return Err(Error::Refused(Kind::FailedPrecondition, text.into()));
        }
        let is_whole = |prefix: &str| prefix == "/";
        let all = known.iter().filter(|(_, one)| !is_reserved(&one.path)).count();
        let is_all = match &self.selection.path {
            _ if self.selection.is_exact() || self.is_everything => false,
            Some(PathIs::BeginsWith(prefix)) if is_whole(prefix) => true,
            _ => all > 1 && plan.selected >= all,
        };
        if !is_all {
            return Ok(());
        }
        let text = format!(
            "selection: it is about every path ({} series); say so with `everything` if that is what you \
             want",
            plan.selected
        );
        Err(Error::Refused(Kind::FailedPrecondition, text.into()))
    }

    /// What is noted of it. Of a forget, no name.
    fn line(&self, renaming: &Renaming, is_kept: bool, requests: i64) -> Line {
        let stored = match self.kind {
            ChangeKind::Forget => renaming.hashed((random::number(), random::number())),
            ChangeKind::Merge => Some(renaming.clone()),
        };
        let columns = stored.filter(|_| is_kept).map(|one| one.columns()).unwrap_or_default();
        Line {
            stamp: (random::number() >> 1).cast_signed().max(1),
            kind: self.kind.text(),
            selected: self.selection.kinds(),
            author: self.author.clone(),
            requests,
            columns,
        }
    }
}
