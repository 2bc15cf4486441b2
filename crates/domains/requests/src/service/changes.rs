//! Corrections, merges and forgets.

use std::sync::Arc;

use hashbrown::HashMap;
use tally_runtime::Kind;

use super::Service;
use crate::changes::{Change, ChangeKind, Changed, Draft, Outdated, Plan, TooSlow, Version};
use crate::corrections::{Balance, Corrected, Correction, LISTED_MAX};
use crate::error::Error;
use crate::house::House;
use crate::model::{Day, DayRange, Namespace, Series, SeriesId};
use crate::periods::{Granularity, QuarterRange, Zone};
use crate::totals::{GroupBy, Query};

/// How often a change is decided again because another one was first.
const ATTEMPTS_MAX: usize = 10;

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
            done.map_err(Error::store("correct a total"))
        })
        .await
    }

    /// The corrections that a namespace has of these days.
    pub(crate) async fn corrections(
        &self,
        namespace: Namespace,
        days: DayRange,
    ) -> Result<Vec<Corrected>, Error> {
        let _place = self.place().await?;
        let found = self.house.store.corrections(namespace, days, LISTED_MAX + 1).await;
        let found = found.map_err(Error::store("list corrections"))?;
        if found.len() > LISTED_MAX {
            let text = format!("{days} has more than {LISTED_MAX} corrections: ask for fewer days");
            return Err(Error::AnswerTooLarge(text));
        }
        Ok(found)
    }

    /// Merges or forgets series.
    pub(crate) async fn change(&self, change: Change) -> Result<Changed, Error> {
        let change = change.checked(self.intake.path_bytes_max)?;
        let house = self.house.clone();
        let is_dry_run = change.is_dry_run;
        let name = change.kind.text();
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
            let (series, requests) = (changed.series.len(), changed.requests());
            // Without names: they are what is to be forgotten.
            tracing::info!(change = name, series, requests, "series moved");
        }
        Ok(changed)
    }
}

/// Decides what moves, and does it. None if another change was first.
async fn decide_and_move(house: &House, change: &Change) -> Result<Option<Changed>, Error> {
    let store = &house.store;
    let failed = || Error::store(change.kind.step());
    let mut changes = store.changes(Version::default()).await.map_err(failed())?;
    let (mut known, _) = store.series(usize::MAX, usize::MAX).await.map_err(failed())?;
    known.retain(|(_, one)| one.namespace == change.namespace);
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
    let line = change.line(&renaming, is_new && is_kept, changed.requests());
    let draft = Draft { version: changes.version, plan, line: Some(line), redacted };
    match store.move_series(&draft).await {
        Ok(_) => {}
        Err(error) if error.find::<Outdated>().is_some() => return Ok(None),
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
        filter: change.selection.filter(change.namespace),
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
