//! Bytes for a stored result, as `crates/history/examples/size.rs` measures
//! them. They do not depend on the machine.

use super::Bench;
use super::figure::{Figure, Target};
use super::program::{Core, on, output};
use anyhow::{Context, Result};

pub(super) fn measure(bench: &mut Bench) -> Result<()> {
    bench.show.begin("disk: two days of 1,000 checks, twice", 1);
    let said = output(on(Core::Any, &bench.binaries.size).args(["1000", "2"]).env("TMPDIR", &bench.directory))?;
    let mut sections = said.split("latency ").skip(1);
    for (name, target) in [("latency to 1 %", Target::AtMost(2.5)), ("exact latency", Target::AtMost(3.5))] {
        let section = sections.next().with_context(|| format!("it said: {said}"))?;
        let before = |unit: &str| -> Result<f64> {
            let line = section.lines().find_map(|line| line.strip_suffix(unit));
            line.and_then(|line| line.split_whitespace().last()?.parse().ok())
                .with_context(|| format!("no {unit} in: {section}"))
        };
        let bytes = before(" B a result")?;
        bench.found(Figure::once("disk", name, bytes, "B/result", target));
        let applied = before(" applied/s")?;
        bench.found(Figure::once("disk", format!("{name}: results kept"), applied, "/s", Target::None));
        let sealed = before(" sealed and rolled up/s")?;
        bench.found(Figure::once("disk", format!("{name}: sealed and rolled up"), sealed, "/s", Target::None));
    }
    bench.show.step();
    Ok(())
}
