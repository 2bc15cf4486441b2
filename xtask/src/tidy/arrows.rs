//! Which crate may depend on which, read from `cargo metadata`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Violation, relative};

/// What a crate is, by where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Proto,
    Client,
    Kernel,
    Testkit,
    Domain,
    App,
    /// An app that tests the others: it is made of what tests are made of.
    Torture,
    Xtask,
}

/// Checks the dependencies of every member of the workspace, and who is published.
pub(super) fn check(root: &Path) -> anyhow::Result<Vec<Violation>> {
    let metadata = metadata(root)?;
    // Cargo gives real paths, and the root may lead through a symbolic link.
    let root = root.canonicalize().context("cannot find the root of the workspace")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut violations = Vec::new();
    for package in packages {
        let manifest = Path::new(text(&package["manifest_path"])?);
        let path = relative(&root, manifest);
        let Some(from) = layer(&path) else { continue };
        let mut broken = |rule, advice| {
            violations.push(Violation { path: path.clone(), line: 1, rule, advice });
        };
        // `publish = false` is an empty list of registries.
        let published = package["publish"].as_array().is_none_or(|list| !list.is_empty());
        let public = matches!(from, Layer::Proto | Layer::Client);
        if published != public {
            let line = if public { "publish = true" } else { "publish.workspace = true" };
            broken("publish", format!("only proto and client are published: write `{line}`"));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(target) = dependency["path"].as_str() else { continue };
            let target = format!("{}/Cargo.toml", relative(&root, Path::new(target)));
            let Some(to) = layer(&target) else { continue };
            // The tests of a crate turn its own features on.
            if target == path {
                continue;
            }
            let dev = dependency["kind"].as_str() == Some("dev");
            if !allowed(from, to, dev) {
                let name = text(&dependency["name"])?;
                let kind = if dev { "dev-dependency" } else { "dependency" };
                broken("arrows", format!("no {kind} on {name}: {}", reason(from, to)));
            }
        }
    }
    Ok(violations)
}

fn metadata(root: &Path) -> anyhow::Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")
}

fn text(value: &Value) -> anyhow::Result<&str> {
    value.as_str().context("cargo metadata lacks a text")
}

/// The layer of a manifest by its path from the root.
fn layer(manifest: &str) -> Option<Layer> {
    match manifest.split('/').collect::<Vec<_>>()[..] {
        ["crates", "proto", ..] => Some(Layer::Proto),
        ["crates", "client", ..] => Some(Layer::Client),
        ["crates", "dev", "testkit", ..] => Some(Layer::Testkit),
        ["crates", "kernel", ..] => Some(Layer::Kernel),
        ["crates", "domains", ..] => Some(Layer::Domain),
        ["crates", "dev", "torture", ..] => Some(Layer::Torture),
        ["crates", "apps", ..] => Some(Layer::App),
        ["xtask", ..] => Some(Layer::Xtask),
        _ => None,
    }
}

/// apps → domains → kernel → proto; client and domains → proto. For development, everyone may use the
/// testkit, and the client may be tested against a real server.
fn allowed(from: Layer, to: Layer, dev: bool) -> bool {
    use Layer::{App, Client, Domain, Kernel, Proto, Testkit, Torture, Xtask};
    match (from, to) {
        (_, Testkit) => dev || matches!(from, Testkit | Torture | Xtask),
        (App | Torture, Domain | Kernel | Proto | Client)
        | (Domain, Kernel | Proto)
        | (Client, Proto)
        | (Kernel, Kernel | Proto)
        | (Xtask, _) => true,
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
