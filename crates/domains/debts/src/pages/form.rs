//! The form of a debt that is added or changed: what is wrong is told at its field, all of it at once.

use maud::{Markup, html};
use tally_serve::pages::{Frame, name};

use super::fields::{Field, Filled, LIMITS, NAMES, NOTIFY, SCHEDULE, Shape};
use super::{BOARD, NEW, path_of, snippets};
use crate::definition::Wrong;

/// A form as it is shown.
pub(super) struct Form {
    pub(super) filled: Filled,
    pub(super) wrong: Wrong,
    /// The slug of the debt that is changed; none for a new one.
    pub(super) of: Option<String>,
}

// === impl Form ===

impl Form {
    pub(super) fn title(&self) -> String {
        match &self.of {
            None => "Add a debt".to_owned(),
            Some(slug) => format!("Change {slug}"),
        }
    }

    fn wrong_with(&self, field: &str) -> Vec<&str> {
        let wrong = self.wrong.iter().filter(|(of, _)| field_of(of) == field);
        wrong.map(|(_, why)| &**why).collect()
    }

    fn is_any_of(&self, fields: &[Field]) -> bool {
        let has = |field: &Field| {
            !self.filled.get(field.name).is_empty() || !self.wrong_with(field.name).is_empty()
        };
        fields.iter().any(has)
    }

    pub(super) fn page(&self, frame: &Frame) -> Markup {
        html! {
            p.trail {
                a href=(BOARD) { "Debts" }
                @if let Some(slug) = &self.of { " / " a href=(path_of(slug)) { code { (slug) } } }
            }
            h1 { (self.title()) }
            @if frame.may_change() {
                (self.mistakes())
                (self.fields())
            } @else {
                (self.commands(frame))
            }
        }
    }

    /// What a browser that only looks shows instead.
    fn commands(&self, frame: &Frame) -> Markup {
        html! {
            p.lead { "This browser only looks. From the command line, with a key of the scope admin in " code { "TALLY_KEY" } ":" }
            @match &self.of {
                None => (snippets::command("add backup --cron '0 3 * * *' --tz Europe/Berlin --grace 1h", frame)),
                Some(slug) => {
                    p { "It has these terms after this command, and no others:" }
                    (snippets::command(&format!("change {slug} {}", self.flags()), frame))
                },
            }
        }
    }

    /// The schedule and the limits as flags.
    fn flags(&self) -> String {
        let mut flags = String::new();
        for field in SCHEDULE.iter().chain(LIMITS).filter(|field| field.shape != Shape::Area) {
            let flag = match field.name {
                "time_zone" => "tz".to_owned(),
                name => name.replace('_', "-"),
            };
            match self.filled.get(field.name) {
                "" => {}
                text if text.contains(' ') => flags += &format!("--{flag} '{text}' "),
                text => flags += &format!("--{flag} {text} "),
            }
        }
        flags.trim_end().to_owned()
    }

    /// All that is wrong, in the order of the fields, with ways to them.
    fn mistakes(&self) -> Markup {
        let all = || [NAMES, SCHEDULE, LIMITS, NOTIFY].into_iter().flatten();
        let label = |of: &str| all().find(|field| field.name == field_of(of));
        let mut wrong: Vec<_> = self.wrong.iter().collect();
        wrong.sort_by_key(|(of, _)| all().position(|field| field.name == field_of(of)));
        html! {
            @if !self.wrong.is_empty() {
                div.notice.wrong #mistakes role="alert" tabindex="-1" {
                    p { strong { @if self.wrong.len() == 1 { "Nothing was changed: one thing is wrong" } @else { "Nothing was changed: " (self.wrong.len()) " things are wrong" } } }
                    ul.mistakes { @for (of, why) in wrong {
                        li { @match label(of) {
                            Some(field) => a href={ "#" (field.name) } { (field.label) },
                            None => code { (name(of, false)) },
                        } ": " (name(why, true)) }
                    } }
                }
            }
        }
    }

    fn fields(&self) -> Markup {
        let action = self.of.as_ref().map_or(NEW.to_owned(), |slug| path_of(slug) + "/edit");
        let back = self.of.as_ref().map_or(BOARD.to_owned(), |slug| path_of(slug));
        html! {
            form.card.wide method="post" action=(action) novalidate {
                fieldset { legend { "What it is called" } @for field in NAMES { (self.field(field)) } }
                fieldset { legend { "When it is due" }
                    p.muted { "Fill in one of every, cron expression and deadline, or none of them: then only runs and failures count." }
                    @for field in SCHEDULE { (self.field(field)) }
                }
                details open[self.is_any_of(LIMITS)] {
                    summary { "More limits" }
                    fieldset { legend.visually-hidden { "More limits" } @for field in LIMITS { (self.field(field)) } }
                }
                fieldset { legend { "Who is told" } @for field in NOTIFY { (self.field(field)) } }
                div.actions {
                    button type="submit" { @if self.of.is_some() { "Change" } @else { "Add" } }
                    a.button.second href=(back) { "Leave it" }
                }
            }
        }
    }

    fn field(&self, field: &Field) -> Markup {
        let wrong = self.wrong_with(field.name);
        let (id, value) = (field.name, self.filled.get(field.name));
        let (help, why) = (format!("{id}-help"), format!("{id}-wrong"));
        let described = if wrong.is_empty() { help.clone() } else { format!("{why} {help}") };
        let invalid = (!wrong.is_empty()).then_some("true");
        html! {
            div.field.whole[field.shape == Shape::Area] {
                label for=(id) { (field.label) }
                @match field.shape {
                    Shape::Area => textarea id=(id) name=(id) rows="3" spellcheck="false" aria-invalid=[invalid] aria-describedby=(described) { "\n" (value) },
                    shape => input id=(id) name=(id) value=(value) autocomplete="off" autocapitalize="off" spellcheck="false"
                        inputmode=[(shape == Shape::Number).then_some("numeric")] aria-invalid=[invalid] aria-describedby=(described);,
                }
                @if !wrong.is_empty() { div.errors id=(why) { @for one in wrong { p { (name(one, true)) } } } }
                p.help id=(help) { (field.help) }
            }
        }
    }
}

/// Where it is told that something is wrong: of the schedule as a whole, at its first field.
fn field_of(wrong: &str) -> &str {
    if wrong == "schedule" { "every" } else { wrong }
}
