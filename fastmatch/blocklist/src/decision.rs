//! The decision file: what a worker maps to judge addresses and names.

use std::path::Path;
use std::sync::Arc;

use crate::builder::Builder;
use crate::chains::Chains;
use crate::domains::{DomainTables, Domains};
use crate::image::{Header, Image, ImageError};
use crate::index4::{Index4, Index4Tables};
use crate::index6::{Index6, Index6Tables};
use crate::labels::LabelTables;
use crate::memory::Region;
use crate::render::Rendering;
use crate::rule::{Live, Ruling};
use crate::sweep::{boundaries4, boundaries6};
use crate::{domains, index4, index6};

const MAGIC: [u8; 8] = *b"SNTRDCSN";

/// What both files are rendered from.
pub(crate) struct Compiled<'a> {
    pub header: Header,
    pub builder: &'a Builder,
    index4: Index4Tables,
    index6: Index6Tables,
    pub domains: DomainTables,
    chains: Chains,
    pub labels: LabelTables,
}

/// The builder's networks are sorted. `header.pair` is given, the counts are filled in.
/// `ended` hears the name of each phase.
pub(crate) fn compile<'a>(
    builder: &'a Builder,
    header: Header,
    compact_domains: bool,
    ended: &mut dyn FnMut(&'static str),
) -> Compiled<'a> {
    let mut chains = Chains::new(&builder.facts);
    let index4 = index4::build(&boundaries4(&builder.entries4, &mut chains));
    ended("sweep and index, IPv4");
    let index6 = index6::build(&boundaries6(&builder.entries6, &mut chains));
    ended("sweep and index, IPv6");
    let domains = domains::build(builder, header.pair, &mut chains, compact_domains);
    ended("domains");
    let header = Header {
        entries4: builder.entries4.len() as u64,
        entries6: builder.entries6.len() as u64,
        domains: domains.entry_count() as u64,
        ..header
    };
    let labels = LabelTables::new(&builder.facts);
    Compiled {
        header,
        builder,
        index4,
        index6,
        domains,
        chains,
        labels,
    }
}

impl Compiled<'_> {
    pub fn render_decision(&self) -> Rendering<'_> {
        let mut sections = Vec::new();
        sections.extend(self.index4.sections());
        sections.extend(self.index6.sections());
        sections.extend(self.domains.sections());
        sections.extend(self.chains.sections());
        sections.extend(self.labels.sections());
        Rendering::new(MAGIC, self.header, sections)
    }
}

pub(crate) struct Decision {
    image: Arc<Image>,
    index4: Index4,
    index6: Index6,
    pub domains: Domains,
    pub ruling: Ruling,
}

impl Decision {
    pub fn map(path: &Path, prefault: bool, verify: bool) -> Result<Self, ImageError> {
        Self::from_image(Image::map(path, MAGIC, prefault, verify)?)
    }

    pub fn open(region: Region) -> Result<Self, ImageError> {
        Self::from_image(Image::open(region, MAGIC)?)
    }

    fn from_image(image: Image) -> Result<Self, ImageError> {
        let image = Arc::new(image);
        Ok(Self {
            index4: Index4::open(&image)?,
            index6: Index6::open(&image)?,
            domains: Domains::open(&image)?,
            ruling: Ruling::open(&image)?,
            image,
        })
    }

    pub fn header(&self) -> &Header {
        &self.image.header
    }

    pub fn entry_count(&self) -> u64 {
        let header = self.header();
        header
            .entries4
            .saturating_add(header.entries6)
            .saturating_add(header.domains)
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    pub fn byte_count(&self) -> usize {
        self.image.bytes().len()
    }

    #[inline]
    pub fn chain4(&self, address: u32) -> u32 {
        self.index4.chain(address)
    }

    pub fn chains4(&self, addresses: &[u32], out: &mut [u32]) {
        self.index4.chains(addresses, out);
    }

    #[inline]
    pub fn chain6(&self, address: u128) -> u32 {
        self.index6.chain(address)
    }

    pub fn chains6(&self, addresses: &[u128], out: &mut [u32]) {
        self.index6.chains(addresses, out);
    }

    /// The strongest live entry of a chain.
    #[inline]
    pub fn live(&self, chain: u32, now: u64) -> Option<Live> {
        self.ruling.live(chain, now)
    }
}
