//! The length of files and functions: limits, and exceptions that can only shrink.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::Visit;

use super::{File, Violation};

/// Lines of a file.
const FILE_LINES_MAX: usize = 400;

/// Lines of a file of integration tests, which is read one test at a time.
const TEST_FILE_LINES_MAX: usize = 700;

/// Lines of a function, from its name to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Exceptions, one per line: path, `file` or `fn:Type::name`, lines, reason.
const EXCEPTIONS: &str = "xtask/tidy-exceptions.txt";

/// Path and `file` or `fn:<name>`.
type What = (String, String);

/// The lengths of all files and functions.
#[derive(Default)]
pub(super) struct Sizes {
    /// Line, length and limit.
    measured: BTreeMap<What, (usize, usize, usize)>,
}

/// Finds the functions of a file and the names of their enclosing items.
struct Functions<'a> {
    path: &'a str,
    within: Vec<String>,
    sizes: &'a mut Sizes,
}

// === impl Sizes ===

impl Sizes {
    /// Adds a file and its functions.
    pub(super) fn measure(&mut self, file: &File, syntax: &syn::File) {
        let limit = if file.is_test() { TEST_FILE_LINES_MAX } else { FILE_LINES_MAX };
        self.add((file.path.clone(), "file".to_owned()), 1, file.text.lines().count(), limit);
        let path = &file.path;
        Functions { path, within: Vec::new(), sizes: self }.visit_file(syntax);
    }

    fn add(&mut self, what: What, line: usize, lines: usize, limit: usize) {
        // Functions may share a name, as under two `cfg`s: the longest counts.
        let entry = self.measured.entry(what).or_insert((line, lines, limit));
        if lines > entry.1 {
            *entry = (line, lines, limit);
        }
    }

    /// Finds lengths above their limit or exception, and stale exceptions.
    pub(super) fn check(&self, files: &[File]) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut excepted = BTreeMap::new();
        let list = files.iter().find(|file| file.path == EXCEPTIONS);
        for (at, text) in list.iter().flat_map(|list| list.text.lines().enumerate()) {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            let list = list.expect("a line is of the list");
            match parse(text) {
                Some((what, lines)) => {
                    violations.extend(self.stale(list, at + 1, &what, lines));
                    excepted.insert(what, lines);
                }
                None => violations.push(list.at(
                    at + 1,
                    "size",
                    "write: <path> <file or fn:Type::name> <lines> <reason>",
                )),
            }
        }
        for (what, (line, lines, limit)) in &self.measured {
            let most = excepted.get(what).copied().unwrap_or(*limit).max(*limit);
            if lines > &most {
                let advice = match excepted.get(what) {
                    Some(most) => format!("{} grew from {most} to {lines} lines", what.1),
                    None => {
                        format!("{} has {lines} lines, but {limit} are allowed: split it", what.1)
                    }
                };
                violations.push(Violation {
                    path: what.0.clone(),
                    line: *line,
                    rule: "size",
                    advice,
                });
            }
        }
        violations
    }

    /// Finds an exception that is larger than necessary.
    fn stale(&self, list: &File, at: usize, what: &What, most: usize) -> Option<Violation> {
        let name = format!("{} {}", what.0, what.1);
        let advice = match self.measured.get(what) {
            None => format!("{name} does not exist: remove the exception"),
            Some((_, lines, limit)) if lines <= limit => {
                format!("{name} is within {limit} lines: remove the exception")
            }
            Some((_, lines, _)) if *lines < most => {
                format!("{name} has shrunk: lower its exception from {most} to {lines}")
            }
            Some(_) => return None,
        };
        Some(list.at(at, "size", advice))
    }
}

fn parse(line: &str) -> Option<(What, usize)> {
    let mut words = line.split_whitespace();
    let what = (words.next()?.to_owned(), words.next()?.to_owned());
    let lines = words.next()?.parse().ok()?;
    words.next().map(|_reason| (what, lines))
}

// === impl Functions ===

impl Functions<'_> {
    fn function(&mut self, signature: &syn::Signature, end: proc_macro2::Span) {
        let line = signature.span().start().line;
        let lines = end.end().line + 1 - line;
        let mut name = self.within.join("::");
        if !name.is_empty() {
            name.push_str("::");
        }
        let what = (self.path.to_owned(), format!("fn:{name}{}", signature.ident));
        self.sizes.add(what, line, lines, FUNCTION_LINES_MAX);
    }

    fn inside(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        self.within.push(name);
        visit(self);
        self.within.pop();
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, item.block.span());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, item.block.span());
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block.span());
        }
        syn::visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let name = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        self.inside(name.unwrap_or_else(|| "_".to_owned()), |it| {
            syn::visit::visit_item_impl(it, item);
        });
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.inside(item.ident.to_string(), |it| syn::visit::visit_item_trait(it, item));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.inside(item.ident.to_string(), |it| syn::visit::visit_item_mod(it, item));
    }
}
