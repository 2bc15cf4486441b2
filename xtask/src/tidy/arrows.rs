//! Which crate may depend on which.

use serde_json::Value;

use super::Violation;

/// A crate's layer, which follows from its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Proto,
    Client,
    Kernel,
    Testkit,
    Domain,
    App,
    /// What only developers run: it may use everything.
    Dev,
    Xtask,
}

/// Checks the dependencies of one package, whose manifest lies at `path`, and whether it is
/// published. `relative` gives the path of another manifest.
pub(super) fn check(
    path: &str,
    package: &Value,
    relative: impl Fn(&str) -> String,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    let Some(from) = layer(path) else { return violations };
    let mut broken = |rule, advice| {
        violations.push(Violation { path: path.to_owned(), line: 1, rule, advice });
    };
    // For `publish = false` cargo returns an empty list of registries.
    let published = package["publish"].as_array().is_none_or(|list| !list.is_empty());
    let public = matches!(from, Layer::Proto | Layer::Client);
    if published != public {
        let line = if public { "publish = true" } else { "publish.workspace = true" };
        broken("publish", format!("only proto and client are published: write `{line}`"));
    }
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let Some(target) = dependency["path"].as_str() else { continue };
        let target = format!("{}/Cargo.toml", relative(target));
        let Some(to) = layer(&target) else { continue };
        let dev = dependency["kind"].as_str() == Some("dev");
        // A crate's tests may enable its own features.
        if target != path && !allowed(from, to, dev) {
            let name = dependency["name"].as_str().unwrap_or_default();
            let kind = if dev { "dev-dependency" } else { "dependency" };
            broken("arrows", format!("no {kind} on {name}: {}", reason(from, to)));
        }
    }
    violations
}

/// The layer of a manifest at this path from the root.
fn layer(manifest: &str) -> Option<Layer> {
    match manifest.split('/').collect::<Vec<_>>()[..] {
        ["crates", "proto", ..] => Some(Layer::Proto),
        ["crates", "client", ..] => Some(Layer::Client),
        ["crates", "dev", "testkit", ..] => Some(Layer::Testkit),
        ["crates", "kernel", ..] => Some(Layer::Kernel),
        ["crates", "domains", ..] => Some(Layer::Domain),
        ["crates", "dev", ..] => Some(Layer::Dev),
        ["crates", "apps", ..] => Some(Layer::App),
        ["xtask", ..] => Some(Layer::Xtask),
        _ => None,
    }
}

/// apps → domains → kernel → proto; client and domains → proto. For development, everyone may use the
/// testkit, and the client may be tested against a real server.
fn allowed(from: Layer, to: Layer, dev: bool) -> bool {
    use Layer::{App, Client, Dev, Domain, Kernel, Proto, Testkit, Xtask};
    match (from, to) {
        (_, Testkit) => dev || matches!(from, Testkit | Dev | Xtask),
        (App, Domain | Kernel | Proto | Client)
        | (Domain, Kernel | Proto)
        | (Client, Proto)
        | (Kernel, Kernel | Proto)
        | (Dev | Xtask, _) => true,
        (Client, Kernel | Domain | App) | (Domain, Client) => dev,
        _ => false,
    }
}

fn reason(from: Layer, to: Layer) -> &'static str {
    match (from, to) {
        (_, Layer::Testkit) => "the testkit is for tests; make it a dev-dependency",
        (Layer::Kernel | Layer::Testkit, _) => "the kernel is mechanism and knows no domain",
        (Layer::Domain, Layer::Domain) => "a domain never uses a domain; compose them in an app",
        (Layer::Client | Layer::Proto, _) => "users link this crate; it stands on proto alone",
        _ => "arrows go from apps to domains to the kernel",
    }
}
