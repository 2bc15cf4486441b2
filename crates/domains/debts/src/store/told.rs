//! What deeds are about, and what tells that they were done before.

use tally_runtime::Namespace;
use uuid::Uuid;

use crate::ledger::Deed;
use crate::model::{Named, NewDebt, Which};

/// The deeds that may make a debt, each with its place.
pub(super) fn creations(deeds: &[Deed]) -> impl Iterator<Item = (usize, &NewDebt)> {
    deeds.iter().enumerate().filter_map(|(at, deed)| match deed {
        Deed::Pay(payment) => Some((at, payment.create.as_deref()?)),
        _ => None,
    })
}

/// What a deed is about.
pub(super) fn named(deed: &Deed) -> Named {
    match deed {
        Deed::Pay(payment) => payment.to.clone(),
        Deed::Sweep(id) => Named { namespace: Namespace::DEFAULT, which: Which::Swept(*id) },
        Deed::Pause(named) | Deed::Resume(named) | Deed::Update(named, _) => named.clone(),
    }
}

/// What tells the payments of deeds, and which runs they name, by their debts.
pub(super) struct Told {
    pub(super) once: Vec<(Uuid, Uuid)>,
    pub(super) runs: Vec<(Uuid, String)>,
}

impl Told {
    pub(super) fn of(deeds: &[Deed], found: &[Option<Uuid>]) -> Self {
        let mut told = Self { once: Vec::new(), runs: Vec::new() };
        for (deed, debt) in deeds.iter().zip(found) {
            let (Deed::Pay(payment), Some(debt)) = (deed, debt) else { continue };
            told.once.push((*debt, payment.once));
            told.once.extend(payment.run_once.map(|once| (*debt, once)));
            told.runs.extend(payment.run.clone().map(|run| (*debt, run)));
        }
        told
    }
}
