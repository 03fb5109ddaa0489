//! An OpenTelemetry collector, made by its builder: what Ringward sends to, and is measured beside.
//!
//! Only what the tests and the benches configure is in it. The builder writes the program's source; the list of modules
//! is ours, because the builder would ask for those too that its parts are tested with, and the Go module proxy does not
//! have all of them.
//!
//! Into the target folder, `peers/otelcol/usr/sbin/otelcol`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{go, peers};
use crate::command::output;
use crate::pins;

const CONTRIB: &str = "github.com/open-telemetry/opentelemetry-collector-contrib";
const CORE: &str = "go.opentelemetry.io/collector";

/// As the builder's configuration groups them.
fn parts() -> [(&'static str, Vec<String>); 4] {
    let contrib = |name| format!("{CONTRIB}/{name} v{}", pins::OTELCOL);
    let provider = |name| format!("{CORE}/confmap/provider/{name} v{}", pins::OTELCOL_CONFMAP);
    [
        (
            "receivers",
            ["filelogreceiver", "tcplogreceiver", "udplogreceiver"]
                .map(|name| contrib(format!("receiver/{name}")))
                .into(),
        ),
        ("processors", vec![format!("{CORE}/processor/batchprocessor v{}", pins::OTELCOL)]),
        ("exporters", vec![contrib("exporter/fileexporter".to_owned())]),
        // Without `env` it does not start.
        ("providers", ["envprovider", "fileprovider"].map(provider).into()),
    ]
}

/// Builds it, if it is not there.
pub fn build() -> Result<()> {
    go::build_peer("otelcol", &format!("an OpenTelemetry collector {}", pins::OTELCOL), build_into)
}

fn build_into(program: &Path) -> Result<()> {
    let work = peers::folder("otelcol")?.join("work");
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    std::fs::write(work.join("builder.yaml"), configuration())?;
    std::fs::write(work.join("go.mod"), modules())?;
    let go = go::recent()?;
    output(
        Command::new(&go)
            .args(["run", &format!("{CORE}/cmd/builder@v{}", pins::OTELCOL)])
            .args(["--config", "builder.yaml", "--skip-compilation", "--skip-get-modules"])
            .current_dir(&work)
            .env("GOFLAGS", ""),
    )?;
    output(
        Command::new(&go)
            .args(["build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o"])
            .arg(program)
            .current_dir(&work)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", ""),
    )?;
    Ok(std::fs::remove_dir_all(work)?)
}

/// The builder's.
fn configuration() -> String {
    let mut text = format!("dist: {{ name: otelcol, module: otelcol, output_path: ., version: {} }}\n", pins::OTELCOL);
    for (group, modules) in parts() {
        let _ = writeln!(text, "{group}:");
        for module in modules {
            let _ = writeln!(text, "- gomod: {module}");
        }
    }
    text
}

/// `go.mod`, with what the source needs besides its parts.
fn modules() -> String {
    let core = ["otelcol", "service"].map(|name| format!("{CORE}/{name} v{}", pins::OTELCOL));
    let all = parts().into_iter().flat_map(|(_, modules)| modules).chain(core);
    all.fold("module otelcol\n\ngo 1.25\n\n".to_owned(), |text, module| text + "require " + &module + "\n")
}
