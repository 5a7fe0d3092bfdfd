//! Figures of the two settings side by side.

use super::process::Usage;
use super::work::Figures;
use serde::Serialize;

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// What one kind of work gave, over all its rounds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    count: u64,
    bytes: u64,
    micros: u64,
    p50_micros: u64,
    p99_micros: u64,
    rounds: u64,
    hub_micros: u64,
    agents_micros: u64,
}

impl Sum {
    /// Adds a round; usages are of hub's end and agents' end, before and after.
    pub(super) fn add(&mut self, figures: Figures, hub: [Usage; 2], agents: [Usage; 2]) {
        let spent =
            |[before, after]: [Usage; 2]| after.cpu_micros.saturating_sub(before.cpu_micros);
        self.count += figures.count;
        self.bytes += figures.bytes;
        self.micros += figures.micros;
        self.p50_micros += figures.p50_micros;
        self.p99_micros += figures.p99_micros;
        self.rounds += 1;
        self.hub_micros += spent(hub);
        self.agents_micros += spent(agents);
    }

    /// How many a second.
    pub(super) fn a_second(&self) -> f64 {
        self.count as f64 / seconds(self.micros)
    }

    /// MiB a second.
    pub(super) fn mib_a_second(&self) -> f64 {
        self.bytes as f64 / MIB / seconds(self.micros)
    }

    /// Microseconds: the mean of the rounds' medians.
    pub(super) fn p50(&self) -> f64 {
        self.p50_micros as f64 / self.rounds.max(1) as f64
    }

    /// Microseconds: the mean of the rounds' 99th percentiles.
    pub(super) fn p99(&self) -> f64 {
        self.p99_micros as f64 / self.rounds.max(1) as f64
    }

    /// CPU microseconds of the hub's end for each.
    pub(super) fn hub_each(&self) -> f64 {
        self.hub_micros as f64 / self.count.max(1) as f64
    }

    /// CPU microseconds of the agents' end for each.
    pub(super) fn agents_each(&self) -> f64 {
        self.agents_micros as f64 / self.count.max(1) as f64
    }

    /// CPU milliseconds of both ends for each MiB.
    pub(super) fn both_a_mib(&self) -> f64 {
        let both = (self.hub_micros + self.agents_micros) as f64 / 1_000.0;
        both / (self.bytes as f64 / MIB).max(1.0)
    }
}

fn seconds(micros: u64) -> f64 {
    micros.max(1) as f64 / 1e6
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    name: String,
    unit: &'static str,
    weft: f64,
    quinn: f64,
}

impl Row {
    /// A figure of Weft's settings and of quinn's.
    pub(super) fn new(
        name: impl Into<String>,
        unit: &'static str,
        [weft, quinn]: [f64; 2],
    ) -> Self {
        Self { name: name.into(), unit, weft, quinn }
    }

    /// As a line of the table.
    pub(super) fn line(&self) -> String {
        format!(
            "{:<44}{:>14}{:>14}  {}",
            self.name,
            digits(self.weft),
            digits(self.quinn),
            self.unit
        )
    }
}

/// The head of the table.
pub(super) fn head() -> String {
    format!("{:<44}{:>14}{:>14}", "", "weft", "quinn's own")
}

/// As many digits as mean something.
fn digits(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_add_up_and_percentiles_are_averaged() {
        let figures = Figures {
            count: 100,
            bytes: 1_048_576,
            micros: 500_000,
            p50_micros: 10,
            p99_micros: 30,
        };
        let usage = |cpu_micros| Usage { cpu_micros, rss_kib: 0 };
        let mut sum = Sum::default();
        sum.add(figures, [usage(0), usage(1_000)], [usage(5), usage(2_005)]);
        sum.add(Figures { p50_micros: 20, ..figures }, [usage(0), usage(1_000)], [usage(0); 2]);
        assert!((sum.a_second() - 200.0).abs() < 1e-9);
        assert!((sum.mib_a_second() - 2.0).abs() < 1e-9);
        assert!((sum.p50() - 15.0).abs() < 1e-9);
        assert!((sum.hub_each() - 10.0).abs() < 1e-9);
        assert!((sum.agents_each() - 10.0).abs() < 1e-9);
        assert!((sum.both_a_mib() - 2.0).abs() < 1e-9);
    }
}
