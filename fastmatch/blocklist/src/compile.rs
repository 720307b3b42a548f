//! A builder's entries to a list in memory or to a pair of files; both hold the same bytes.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;

use crate::builder::Builder;
use crate::decision::{Compiled, Decision, compile};
use crate::entry::Entry;
use crate::evidence::Evidence;
use crate::explain::NoEvidence;
use crate::files;
use crate::image::Header;
use crate::list::Blocklist;
use crate::verdict::Disposition;

/// What a compilation is stamped with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub epoch: u64,
    pub sequence: u64,
    /// Unix seconds.
    pub now: u64,
    /// Names as fingerprints in the decision file, their texts in the evidence file: see `domains`.
    pub compact_domains: bool,
}

pub(crate) struct Layer {
    pub decision: Decision,
    pub evidence: Option<Evidence>,
}

impl Layer {
    pub fn entries(&self) -> Result<impl Iterator<Item = Entry>, NoEvidence> {
        let evidence = self.evidence.as_ref().ok_or(NoEvidence)?;
        Ok(evidence.entries(&self.decision))
    }
}

/// A base has nothing below it that a tombstone could remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TombstoneInBase;

impl fmt::Display for TombstoneInBase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a tombstone is for an overlay, a base has nothing below it to remove")
    }
}

impl std::error::Error for TombstoneInBase {}

fn compiled<'a>(
    builder: &'a Builder,
    stamp: Stamp,
    ended: &mut dyn FnMut(&'static str),
) -> Compiled<'a> {
    // The standard library's keys are random and cost no dependency; the counter tells two compilations apart.
    let pair = RandomState::new().hash_one(stamp.now);
    let Stamp {
        epoch,
        sequence,
        now: created,
        compact_domains,
    } = stamp;
    compile(
        builder,
        Header {
            epoch,
            sequence,
            created,
            pair,
            ..Header::default()
        },
        compact_domains,
        ended,
    )
}

pub(crate) fn layer(builder: &mut Builder, stamp: Stamp) -> Layer {
    builder.sort_networks();
    let compiled = compiled(builder, stamp, &mut |_| ());
    let own = "invariant: what was just rendered is readable";
    let decision = Decision::open(compiled.render_decision().region()).expect(own);
    let evidence = Evidence::open(compiled.render_evidence().region(), &decision).expect(own);
    Layer {
        decision,
        evidence: Some(evidence),
    }
}

impl Builder {
    /// Whether the entries can be a base.
    pub fn check_base(&self) -> Result<(), TombstoneInBase> {
        let mut facts = self.facts.facts().iter();
        if facts.any(|fact| fact.disposition == Disposition::Tombstone) {
            Err(TombstoneInBase)
        } else {
            Ok(())
        }
    }

    /// Compiles in memory, evidence included.
    pub fn build(&mut self, stamp: Stamp) -> Result<Blocklist, TombstoneInBase> {
        self.check_base()?;
        Ok(Blocklist::from_base(layer(self, stamp)))
    }

    /// Compiles to two files. Both are whole before either gets its name, the evidence first: whoever sees the decision
    /// file finds both.
    pub fn write(&mut self, decision: &Path, evidence: &Path, stamp: Stamp) -> io::Result<()> {
        self.write_watched(decision, evidence, stamp, &mut |_| ())
    }

    /// As `write`; `ended` hears the name of each phase when it is over.
    #[doc(hidden)]
    pub fn write_watched(
        &mut self,
        decision: &Path,
        evidence: &Path,
        stamp: Stamp,
        ended: &mut dyn FnMut(&'static str),
    ) -> io::Result<()> {
        self.check_base()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        if decision == evidence {
            let reason = "decision and evidence need a path each";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        self.sort_networks();
        ended("sort");
        let compiled = compiled(self, stamp, ended);
        let evidence = files::write_aside(evidence, |file| compiled.render_evidence().write(file))?;
        ended("evidence");
        let decision = files::write_aside(decision, |file| compiled.render_decision().write(file))?;
        ended("decision");
        files::publish([evidence, decision])?;
        ended("sync and rename");
        Ok(())
    }
}
