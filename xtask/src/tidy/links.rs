//! Markdown: each link to a file of this repository, or to a heading in one, leads there.

use std::collections::BTreeSet;
use std::path::Path;

use super::{File, Violation};

/// Checks the links of all Markdown files.
pub(super) fn check(root: &Path, files: &[File]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("md")) {
        for (line, target) in links(&file.text) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            // What has a scheme is elsewhere; `crate::X` is for rustdoc.
            if path.contains(':') {
                continue;
            }
            let path = if path.is_empty() { file.path.clone() } else { resolved(&file.path, path) };
            if !root.join(&path).exists() {
                violations.push(file.at(line, "links", format!("{path} does not exist")));
                continue;
            }
            let page = files.iter().find(|page| page.path == path && page.has_extension("md"));
            if !heading.is_empty()
                && page.is_some_and(|page| !anchors(&page.text).contains(heading))
            {
                let advice = format!("{path} has no heading #{heading}");
                violations.push(file.at(line, "links", advice));
            }
        }
    }
    violations
}

/// The targets of links with their lines, outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (line, text) in prose(text) {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(targets.map(|(target, _)| (line, target)));
    }
    found
}

/// The lines outside of code blocks, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// What headings are called in links, as GitHub does it.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let Some(heading) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')) else {
            continue;
        };
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let again = (1..).map(|n| format!("{anchor}-{n}"));
        let free = [anchor.clone()].into_iter().chain(again).find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

/// A path in a link, from the root on.
fn resolved(from: &str, path: &str) -> String {
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
