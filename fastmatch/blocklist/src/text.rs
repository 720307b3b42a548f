//! List files as they are published, line by line, into a builder.
//!
//! A line is accepted, ignored (comment, empty) or rejected, never fatal, whatever bytes it holds; it is accepted as a whole
//! or not at all. Cost: about 0.05 us per line.

mod line;
mod range;

use std::fmt;

use crate::builder::{Builder, TooLarge};
use crate::entry::{Statement, score_tenths};
use crate::network::Network;
use crate::target::Rule;
use crate::verdict::Disposition;
use line::{LineError, Simple, Targets};

const MAX_REPORTED: usize = 100;
const MAX_REPORTED_CHARACTERS: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One address, network, range or domain per line; also `||d^` and `.d` (suffix), `*.d` (below), `=d` (exact).
    Plain,
    /// `0.0.0.0 name ...`
    Hosts,
    /// Addresses, networks and ranges; also `add SET ADDRESS` as `ipset save` writes it.
    Netset,
    /// Fields; the first is the target as in `Plain`.
    Csv,
}

/// How to read one list.
pub struct ListOptions {
    pub format: Format,
    /// What each line states; the score is replaced when a column gives it.
    pub statement: Statement,
    /// For bare domains.
    pub rule: Rule,
    pub delimiter: u8,
    /// Counted from 0. Without points the column is the score itself.
    pub score_column: Option<usize>,
    /// (column value, score in tenths), ascending; below the first point the statement's score counts.
    pub score_points: Vec<(f64, u8)>,
}

/// A rejected line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// From 1.
    pub line: u64,
    pub text: String,
    pub reason: String,
}

/// What became of the lines: the three counts sum up to all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    pub accepted_count: u64,
    pub ignored_count: u64,
    pub rejected_count: u64,
    /// The first hundred.
    pub rejected: Vec<Rejected>,
}

impl LoadReport {
    fn reject(&mut self, number: u64, text: &[u8], reason: impl fmt::Display) {
        self.rejected_count += 1;
        if self.rejected.len() < MAX_REPORTED {
            let start = &text[..text.len().min(4 * MAX_REPORTED_CHARACTERS)];
            let shown = String::from_utf8_lossy(start)
                .chars()
                .take(MAX_REPORTED_CHARACTERS)
                .collect();
            self.rejected.push(Rejected {
                line: number,
                text: shown,
                reason: reason.to_string(),
            });
        }
    }
}

impl Builder {
    /// Reads a whole list. Fails only when the builder is full; what was read until then stays.
    pub fn add_text(&mut self, text: &[u8], options: &ListOptions) -> Result<LoadReport, TooLarge> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut loader = Loader::new(self, options);
        let mut targets = Targets::default();
        let lines = text
            .strip_suffix(b"\n")
            .unwrap_or(text)
            .split(|byte| *byte == b'\n');
        let lines = if text.is_empty() { None } else { Some(lines) };
        for (number, line) in (1_u64..).zip(lines.into_iter().flatten()) {
            loader.take(number, line.trim_ascii(), &mut targets)?;
        }
        Ok(loader.report)
    }
}

struct Loader<'a> {
    builder: &'a mut Builder,
    options: &'a ListOptions,
    report: LoadReport,
    /// The number of the fact for each score that came up.
    facts: [Option<u32>; 101],
    is_first: bool,
}

impl<'a> Loader<'a> {
    fn new(builder: &'a mut Builder, options: &'a ListOptions) -> Self {
        let report = LoadReport::default();
        Self {
            builder,
            options,
            report,
            facts: [None; 101],
            is_first: true,
        }
    }

    fn take(&mut self, number: u64, line: &[u8], targets: &mut Targets) -> Result<(), TooLarge> {
        if line.is_empty() || line::is_comment(line) {
            self.report.ignored_count += 1;
            return Ok(());
        }
        let is_first = std::mem::take(&mut self.is_first);
        if self.options.format == Format::Plain {
            if let Some(simple) = line::simple(line) {
                return self.add_simple(simple);
            }
        }
        targets.clear();
        match self.read(line, is_first, targets) {
            Ok(score) => self.add(targets, score)?,
            Err(LineError::Ignored) => self.report.ignored_count += 1,
            Err(reason) => self.report.reject(number, line, reason),
        }
        Ok(())
    }

    fn add_simple(&mut self, simple: Simple<'_>) -> Result<(), TooLarge> {
        let fact = self.fact(self.options.statement.score_tenths);
        match simple {
            Simple::Address(start) => {
                let network = Network::V4 { start, length: 32 };
                self.builder.add_network(network, fact)?;
            }
            Simple::Name(name) => self.builder.add_domain(name, self.options.rule, fact)?,
        }
        self.report.accepted_count += 1;
        Ok(())
    }

    fn read(&self, line: &[u8], is_first: bool, targets: &mut Targets) -> Result<u8, LineError> {
        let fixed = self.options.statement.score_tenths;
        match self.options.format {
            Format::Plain => line::plain(line, self.options.rule, targets).map(|()| fixed),
            Format::Hosts => line::hosts(line, self.options.rule, targets).map(|()| fixed),
            Format::Netset => line::netset(line, targets).map(|()| fixed),
            Format::Csv => self.read_fields(line, is_first, targets),
        }
    }

    fn read_fields(
        &self,
        line: &[u8],
        is_first: bool,
        targets: &mut Targets,
    ) -> Result<u8, LineError> {
        let delimiter = self.options.delimiter;
        let target = line::field(line, delimiter, 0).unwrap_or_default();
        if is_first && !target.iter().any(|byte| matches!(byte, b'.' | b':')) {
            // A heading such as `ip,score`; it would pass for a name of one label.
            return Err(LineError::Ignored);
        }
        let statement = &self.options.statement;
        let is_scored = statement.disposition == Disposition::Block;
        let score = match self.options.score_column.filter(|_| is_scored) {
            None => statement.score_tenths,
            Some(column) => {
                let value = line::field(line, delimiter, column).ok_or(LineError::NoScore)?;
                self.mapped(line::number(value).ok_or(LineError::NoScore)?)?
            }
        };
        line::plain(target, self.options.rule, targets).map(|()| score)
    }

    fn mapped(&self, value: f64) -> Result<u8, LineError> {
        let points = &self.options.score_points;
        if points.is_empty() {
            return score_tenths(value).ok_or(LineError::ScoreRange);
        }
        let passed = points
            .iter()
            .take_while(|(point, _)| *point <= value)
            .last();
        Ok(passed.map_or(self.options.statement.score_tenths, |(_, score)| *score))
    }

    fn add(&mut self, targets: &Targets, score: u8) -> Result<(), TooLarge> {
        let fact = self.fact(score);
        for network in &targets.networks {
            self.builder.add_network(*network, fact)?;
        }
        for (name, rule) in targets.names() {
            self.builder.add_domain(name, rule, fact)?;
        }
        self.report.accepted_count += 1;
        Ok(())
    }

    fn fact(&mut self, score: u8) -> u32 {
        let cell = &mut self.facts[usize::from(score.min(100))];
        *cell.get_or_insert_with(|| {
            let statement = Statement {
                score_tenths: score,
                ..self.options.statement.clone()
            };
            self.builder.facts.number(&statement)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_blanks_takes_time_by_its_length_and_not_by_its_square() {
        let blanks = " ".repeat(1 << 19);
        let mut targets = Targets::default();
        let started = std::time::Instant::now();
        for (behind, expected) in [
            ("b", Err(LineError::TextBehind)),
            ("! b", Ok(())),
            ("// b", Ok(())),
        ] {
            targets.clear();
            let line = format!("a.b{blanks}{behind}");
            assert_eq!(
                line::plain(line.as_bytes(), Rule::Exact, &mut targets),
                expected
            );
        }
        // By the square it is minutes.
        assert!(started.elapsed() < std::time::Duration::from_secs(10));
    }

    proptest! {
        #[test]
        fn what_is_read_the_short_way_is_what_the_long_way_reads(
            text in "[0-9.]{1,9}|[0-9]{1,3}(\\.[0-9]{1,3}){3}(-[0-9]{1,3}(\\.[0-9a-z]{1,3}){3})?|[-_a-zA-Z0-9.=|*^#:/ ]{0,12}|(xn--)?[a-z0-9-]{1,5}\\.[a-z0-9-]{1,4}"
        ) {
            let mut targets = Targets::default();
            let long = line::plain(text.as_bytes(), Rule::Below, &mut targets);
            match line::simple(text.as_bytes()) {
                None => (),
                Some(Simple::Address(start)) => {
                    prop_assert_eq!(long, Ok(()));
                    prop_assert_eq!(&targets.networks, &[Network::V4 { start, length: 32 }]);
                }
                Some(Simple::Name(name)) => {
                    prop_assert_eq!(long, Ok(()));
                    prop_assert!(targets.networks.is_empty());
                    let names: Vec<_> = targets.names().collect();
                    prop_assert_eq!(names, [(name, Rule::Below)]);
                }
            }
        }
    }
}
