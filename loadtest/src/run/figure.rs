//! What was measured, as values: figures with one sample a round, plots, targets.
//!
//! Everything here goes into `report.json` and comes out of it again: the table, the page and the
//! comparison are made of nothing else. Nothing here prints.

use super::stats;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Points of one line of a plot; more would not be seen.
const POINTS_MAX: usize = 400;

/// Which way a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    /// The less, the better.
    Less,
    /// The more, the better.
    More,
    /// It says how the run was, not how good.
    Neither,
}

/// One figure of one contestant: a sample for each round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// A short name for scripts, such as `whole-p50`.
    pub(crate) id: String,
    /// What it is, in words.
    pub(crate) what: String,
    /// Whose.
    pub(crate) contestant: String,
    /// Under which load or on which link; empty where there is one alone.
    pub(crate) at: String,
    /// The unit of the samples.
    pub(crate) unit: String,
    /// Which way it is better.
    pub(crate) better: Better,
    /// One sample a round, in the order of the rounds.
    pub(crate) rounds: Vec<f64>,
}

impl Figure {
    /// The median of its rounds; nothing where there is none.
    pub(crate) fn median(&self) -> Option<f64> {
        stats::median(&self.rounds)
    }

    /// What it is told apart by: its name, whose it is, and at what.
    pub(crate) fn key(&self) -> (&str, &str, &str) {
        (&self.id, &self.contestant, &self.at)
    }
}

/// What a kind of figure is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    /// A short name for scripts.
    pub(crate) id: &'static str,
    /// What it is, in words.
    pub(crate) what: &'static str,
    /// The unit.
    pub(crate) unit: &'static str,
    /// Which way it is better.
    pub(crate) better: Better,
}

/// Figures as they come in, round by round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// Adds the sample of a round.
    pub(crate) fn add(&mut self, measure: Measure, contestant: &str, at: &str, sample: f64) {
        let key = (measure.id, contestant, at);
        if let Some(found) = self.0.iter_mut().find(|figure| figure.key() == key) {
            found.rounds.push(sample);
            return;
        }
        self.0.push(Figure {
            id: measure.id.to_owned(),
            what: measure.what.to_owned(),
            contestant: contestant.to_owned(),
            at: at.to_owned(),
            unit: measure.unit.to_owned(),
            better: measure.better,
            rounds: vec![sample],
        });
    }

    /// The median of a figure; nothing where it was not measured.
    pub(crate) fn median(&self, id: &str, contestant: &str, at: &str) -> Option<f64> {
        self.0.iter().find(|figure| figure.key() == (id, contestant, at))?.median()
    }

    /// All of them, in the order in which they first came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Figure> {
        self.0.iter()
    }

    /// A line for each contestant through the medians of `id`, one point for each number that `at`
    /// ends with.
    pub(crate) fn curves(&self, id: &str) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for figure in self.0.iter().filter(|figure| figure.id == id) {
            let number = figure.at.rsplit(' ').next().and_then(|last| last.parse::<f64>().ok());
            let (Some(x), Some(y)) = (number, figure.median()) else { continue };
            match lines.iter_mut().find(|line| line.name == figure.contestant) {
                Some(line) => line.points.push([x, y]),
                None => {
                    lines.push(Line { name: figure.contestant.clone(), points: vec![[x, y]] });
                }
            }
        }
        for line in &mut lines {
            line.points.sort_by(|one, other| one[0].total_cmp(&other[0]));
        }
        lines
    }
}

/// A line of a plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// What it shows.
    pub(crate) name: String,
    /// Its points, by x.
    pub(crate) points: Vec<[f64; 2]>,
}

impl Line {
    /// A line that is thinned to as many points as can be seen.
    pub(crate) fn thinned(name: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        let every = points.len().div_ceil(POINTS_MAX).max(1);
        let last = points.last().copied();
        let mut points: Vec<[f64; 2]> = points.into_iter().step_by(every).collect();
        if every > 1 {
            points.extend(last);
        }
        Self { name: name.into(), points }
    }
}

/// How a plot is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Drawn {
    /// Lines over x.
    Lines,
    /// A bar for each line's name, as long as its one point's y.
    Bars,
}

/// A plot, as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plot {
    /// What it shows.
    pub(crate) title: String,
    /// How it is read.
    pub(crate) note: String,
    /// How it is drawn.
    pub(crate) drawn: Drawn,
    /// What x is, with its unit.
    pub(crate) x: String,
    /// What y is, with its unit.
    pub(crate) y: String,
    /// Whether x grows by factors.
    pub(crate) log_x: bool,
    /// Whether y grows by factors.
    pub(crate) log_y: bool,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

/// What a figure should come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    /// This much at most.
    AtMost,
    /// This much at least.
    AtLeast,
}

/// A target, what was measured, and beside what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The figure, in words.
    pub(crate) what: String,
    /// The unit of both.
    pub(crate) unit: String,
    /// Weft's figure; nothing where it was not measured.
    pub(crate) measured: Option<f64>,
    /// What it is held against, in words, such as `1.5 × nginx, two hops`.
    pub(crate) against: String,
    /// What it may come to; nothing where what it is held against was not measured.
    pub(crate) limit: Option<f64>,
    /// Which side of it is good.
    pub(crate) bound: Bound,
}

impl Target {
    /// Whether it is met; nothing where one of both figures is not there.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let (measured, limit) = (self.measured?, self.limit?);
        Some(match self.bound {
            Bound::AtMost => measured <= limit,
            Bound::AtLeast => measured >= limit,
        })
    }

    /// Weft's figure over what it may come to.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (measured, limit) = (self.measured?, self.limit?);
        (limit.abs() > f64::EPSILON).then(|| measured / limit)
    }
}

/// Somebody, or something, that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Missing {
    /// Who.
    pub(crate) name: String,
    /// Why, and what would help.
    pub(crate) why: String,
}

/// What came of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Played {
    /// Its name.
    pub(crate) name: String,
    /// What was done, in a sentence or two.
    pub(crate) what: String,
    /// Everything that was set.
    pub(crate) settings: BTreeMap<String, String>,
    /// How long it took, in seconds.
    pub(crate) lasted_seconds: f64,
    /// The figures.
    pub(crate) figures: Figures,
    /// What they should come to.
    pub(crate) targets: Vec<Target>,
    /// What they look like.
    pub(crate) plots: Vec<Plot>,
    /// Who was not measured.
    pub(crate) missing: Vec<Missing>,
    /// What must never be, and was: frames lost, bytes altered, something left behind.
    pub(crate) faults: Vec<String>,
    /// What a reader must know to judge the figures.
    pub(crate) notes: Vec<String>,
}

impl Played {
    /// Nothing yet.
    pub(crate) fn new(name: &str, what: &str) -> Self {
        Self { name: name.to_owned(), what: what.to_owned(), ..Self::default() }
    }

    /// Notes a setting.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.insert(name.to_owned(), value.to_string());
    }

    /// Notes somebody who is not there.
    pub(crate) fn miss(&mut self, name: impl Into<String>, why: impl Into<String>) {
        let missing = Missing { name: name.into(), why: why.into() };
        if !self.missing.contains(&missing) {
            self.missing.push(missing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P50: Measure = Measure { id: "p50", what: "p50", unit: "ms", better: Better::Less };

    #[test]
    fn samples_of_one_figure_come_together_and_others_stay_apart() {
        let mut figures = Figures::default();
        for (contestant, at, sample) in
            [("weft", "4", 1.0), ("weft", "4", 3.0), ("weft", "16", 9.0), ("direct", "4", 0.5)]
        {
            figures.add(P50, contestant, at, sample);
        }
        assert_eq!(figures.iter().count(), 3);
        assert_eq!(figures.median("p50", "weft", "4"), Some(2.0));
        let curves = figures.curves("p50");
        assert_eq!(curves[0].points, vec![[4.0, 2.0], [16.0, 9.0]]);
    }

    #[test]
    fn a_target_without_what_it_is_held_against_is_neither_met_nor_missed() {
        let mut target = Target {
            what: "added p50".to_owned(),
            unit: "ms".to_owned(),
            measured: Some(0.4),
            against: "nginx".to_owned(),
            limit: None,
            bound: Bound::AtMost,
        };
        assert_eq!(target.is_met(), None);
        target.limit = Some(0.5);
        assert_eq!(target.is_met(), Some(true));
        target.bound = Bound::AtLeast;
        assert_eq!(target.is_met(), Some(false));
    }

    #[test]
    fn a_thinned_line_keeps_its_end() {
        let points: Vec<[f64; 2]> = (0..10_000).map(|x| [f64::from(x), 0.0]).collect();
        let line = Line::thinned("a", points);
        assert!(line.points.len() <= POINTS_MAX + 1);
        assert_eq!(line.points.last(), Some(&[9_999.0, 0.0]));
    }
}
