//! How Tally is installed: units of systemd, manifests of Kubernetes and the image, against its real settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use tally_testkit::{has_programs, http, run_with};
use yaml_rust2::{Yaml, YamlLoader};

use crate::support::{Home, LIMIT};

/// For how long connections may close after a drain: `LAST_ANSWERS_MAX` of the server.
const LAST_ANSWERS_SECONDS: u64 = 3;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every variable that Tally reads, with its default: a test of the program holds `.env.example` to its settings.
fn settings() -> BTreeMap<String, String> {
    let text = read(".env.example");
    let setting = |line: &str| {
        let (name, value) = line.strip_prefix("# ")?.split_once('=')?;
        let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        is_name.then(|| (name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(setting).collect()
}

fn drain_seconds() -> u64 {
    let ms: u64 = settings()["TALLY_DRAIN_TIMEOUT_MS"].parse().expect("a number");
    ms / 1000
}

/// The fields of a unit, in order.
fn unit(name: &str) -> Vec<(String, String)> {
    let text = read(&format!("deploy/systemd/{name}"));
    let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
    let fields = lines.filter_map(|line| line.split_once('='));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[track_caller]
fn field<'a>(unit: &'a [(String, String)], name: &str) -> &'a str {
    let mut found = unit.iter().filter(|(of, _)| of == name);
    let value = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "{name} stands twice");
    &value.1
}

/// A time such as `45s` or `10min`.
#[track_caller]
fn seconds(text: &str) -> u64 {
    let minutes = text.strip_suffix("min").map(|minutes| (minutes, 60));
    let (number, unit) = minutes.unwrap_or_else(|| (text.trim_end_matches('s'), 1));
    number.parse::<u64>().unwrap_or_else(|_| panic!("{text} is no time")) * unit
}

/// What a field of the Dockerfile says; the last one of its name counts.
fn image(word: &str) -> String {
    let text = read("Dockerfile");
    let mut found = text.lines().filter_map(|line| line.strip_prefix(&format!("{word} ")));
    found.next_back().unwrap_or_else(|| panic!("no {word}")).to_owned()
}

/// The documents of a manifest.
fn manifests(name: &str) -> Vec<Yaml> {
    let text = read(&format!("deploy/kubernetes/{name}"));
    YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(yaml: &Yaml) -> String {
    match yaml {
        Yaml::String(text) => text.clone(),
        Yaml::Integer(number) => number.to_string(),
        other => panic!("{other:?} is no text"),
    }
}

#[test]
fn the_service_stops_only_after_its_drain_and_keeps_its_port() {
    let (service, socket) = (unit("tally.service"), unit("tally.socket"));
    assert_eq!(field(&socket, "ListenStream"), settings()["LISTEN_ADDR"]);
    assert_eq!(field(&service, "Type"), "notify");
    assert!(seconds(field(&service, "TimeoutStopSec")) > drain_seconds() + LAST_ANSWERS_SECONDS);
    // A file that is not there is no mistake, and where it lies, the program writes its database.
    assert_eq!(field(&service, "EnvironmentFile"), "-/etc/tally/tally.env");
    assert_eq!(field(&service, "StateDirectory"), "tally");
    assert_eq!(field(&service, "WorkingDirectory"), "%S/tally");
    let command: Vec<_> = field(&service, "ExecStart").split(' ').collect();
    assert_eq!(command[0], "tally");
    let home = Home::sqlite();
    let help = home.run(&[&command[1..], &["--help"]].concat());
    assert!(help.status.success(), "{help:?}");
    let variables = service.iter().filter(|(name, _)| name == "Environment");
    for (_, variable) in variables {
        let name = variable.split('=').next().expect("a name");
        assert!(settings().contains_key(name), "{name} is no setting");
    }
}

#[test]
fn systemd_finds_no_mistake_in_the_units_and_little_that_the_service_may_do() {
    if !has_programs(&["systemd-analyze"]) {
        return;
    }
    let home = Home::sqlite();
    // This machine has our binary elsewhere, and has no manual of ours.
    let command = format!("ExecStart={}", env!("CARGO_BIN_EXE_tally"));
    let service = read("deploy/systemd/tally.service").replace("ExecStart=tally", &command);
    let service = home.file("tally.service", service);
    let socket = home.file("tally.socket", read("deploy/systemd/tally.socket"));
    for arguments in [
        // More than 2.0 is a failure.
        &["security", "--offline=yes", "--threshold=20", "--no-pager", &service][..],
        &["verify", "--man=no", "--recursive-errors=no", &service, &socket],
    ] {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(arguments).current_dir(home.path(""));
        let output = run_with(&analyze, b"", LIMIT, None);
        assert!(output.status.success(), "{output:?}");
        // Each mistake is a line there.
        assert_eq!(output.stderr, "");
    }
}

#[test]
fn the_image_writes_into_one_folder_as_a_user_that_is_a_number() {
    let folder = image("WORKDIR");
    assert_eq!(folder, image("VOLUME"));
    assert!(
        read("Dockerfile").contains(&format!(" --chown={} /image/data {folder}\n", image("USER")))
    );
    assert_eq!(image("FROM"), "scratch");
    // It serves others, so it asks for keys.
    let settings_of_image =
        [("LISTEN_ADDR", format!("0.0.0.0:{}", image("EXPOSE"))), ("TALLY_AUTH", "keys".into())];
    for (name, value) in settings_of_image {
        assert!(settings().contains_key(name), "{name} is no setting");
        assert!(read("Dockerfile").contains(&format!("ENV {name}={value}\n")), "{name}");
    }
    // It waits for a stop as long as Kubernetes does.
    for line in read("docker-compose.yml").lines() {
        if let Some(("stop_grace_period", time)) = line.trim().split_once(": ") {
            assert!(seconds(time) > drain_seconds() + LAST_ANSWERS_SECONDS, "{line}");
        }
    }
}

#[test]
fn manifests_have_the_ports_paths_and_variables_of_the_program() {
    let home = Home::sqlite();
    let server = home.serve(&[]);
    let secret = &manifests("secret.example.yaml")[0];
    let service = &manifests("service.yaml")[0];
    for (name, kind) in [("postgres.yaml", "Deployment"), ("sqlite.yaml", "StatefulSet")] {
        let workload = &manifests(name)[0];
        assert_eq!(text(&workload["kind"]), kind);
        let template = &workload["spec"]["template"];
        assert_eq!(workload["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]);
        assert_eq!(service["spec"]["selector"], template["metadata"]["labels"]);
        let pod = &template["spec"];
        let user = ["runAsUser", "runAsGroup"].map(|field| text(&pod["securityContext"][field]));
        assert_eq!(user.join(":"), image("USER"), "{name}");
        let container = &pod["containers"][0];
        let rights = &container["securityContext"];
        assert_eq!(rights["readOnlyRootFilesystem"], Yaml::Boolean(true), "{name}");
        assert_eq!(container["args"], YamlLoader::load_from_str(&image("CMD")).expect("a list")[0]);

        let port = &container["ports"][0];
        assert_eq!(text(&service["spec"]["ports"][0]["targetPort"]), text(&port["name"]));
        assert_eq!(text(&port["containerPort"]), image("EXPOSE"));
        assert_eq!(text(&service["spec"]["ports"][0]["port"]), image("EXPOSE"));
        let mut paths = BTreeSet::new();
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let get = &container[probe]["httpGet"];
            assert_eq!(get["port"], port["name"], "{name}: {probe}");
            let path = text(&get["path"]);
            let answer = http(&server.url, &format!("GET {path}"), &[], "");
            assert_eq!(answer.status, 200, "{name}: {path}");
            // A database that is away is no reason to start again.
            let expected = if probe == "readinessProbe" { "/readyz" } else { "/livez" };
            assert_eq!(path, expected, "{name}: {probe}");
            paths.insert(path);
        }
        assert_eq!(paths.len(), 2);

        let variables = container["env"].as_vec().expect("a list");
        for variable in variables {
            let variable_name = text(&variable["name"]);
            assert!(settings().contains_key(&variable_name), "{name}: {variable_name}");
            let value = variable["value"].as_str().unwrap_or_default();
            match variable_name.as_str() {
                "LISTEN_ADDR" => assert_eq!(value, format!("0.0.0.0:{}", image("EXPOSE"))),
                // The only folder that may be written to.
                "DB_URL" if name == "sqlite.yaml" => {
                    let folder = format!("sqlite:{}/", image("WORKDIR"));
                    assert!(value.starts_with(&folder), "{name}: {value}");
                }
                _ => {}
            }
            let of_secret = &variable["valueFrom"]["secretKeyRef"];
            if !of_secret.is_badvalue() {
                assert_eq!(of_secret["name"], secret["metadata"]["name"]);
                let key = text(&of_secret["key"]);
                assert!(!secret["stringData"][key.as_str()].is_badvalue(), "{name}: {key}");
            }
        }
        let mounts = container["volumeMounts"].as_vec().map_or(&[][..], Vec::as_slice);
        for mount in mounts {
            assert_eq!(text(&mount["mountPath"]), image("WORKDIR"), "{name}");
        }

        let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap_or(0);
        let grace = pod["terminationGracePeriodSeconds"].as_i64().expect("it is set");
        let stop = i64::try_from(drain_seconds() + LAST_ANSWERS_SECONDS).expect("small");
        assert!(grace > pause + stop, "{name}: {grace} s");
    }
    server.stop();
}
