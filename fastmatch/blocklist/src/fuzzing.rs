//! For tests and fuzz targets: files and packs whose sums are made to fit, so that what they hold is looked at.

use crate::builder::Builder;
use crate::compile::Layer;
use crate::decision::{Decision, compile};
use crate::evidence::Evidence;
use crate::image::{FIXED_BYTES, Header, ImageError, SECTION_BYTES, checksum};
use crate::list::Blocklist;
use crate::memory::Region;
use crate::pack;

/// (decision file, evidence file); the name hash has a fixed key.
pub fn files(builder: &mut Builder, compact_domains: bool) -> (Vec<u8>, Vec<u8>) {
    let header = Header {
        pair: 7,
        ..Header::default()
    };
    builder.sort_networks();
    let compiled = compile(builder, header, compact_domains, &mut |_| ());
    let decision = compiled.render_decision().region().bytes().to_vec();
    let evidence = compiled.render_evidence().region().bytes().to_vec();
    (decision, evidence)
}

pub(crate) fn region(bytes: &[u8]) -> Region {
    Region::filled(bytes.len(), |place| place.copy_from_slice(bytes))
}

pub fn open(decision: &[u8], evidence: &[u8]) -> Result<Blocklist, ImageError> {
    let decision = Decision::open(region(decision))?;
    let evidence = Some(Evidence::open(region(evidence), &decision)?);
    Ok(Blocklist::from_base(Layer { decision, evidence }))
}

/// Where the sum of a file's head stands, when the file is long enough.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    let count = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?);
    let end = FIXED_BYTES + usize::try_from(count).ok()?.checked_mul(SECTION_BYTES)?;
    (end.checked_add(8)? <= bytes.len()).then_some(end)
}

pub fn fit_file(bytes: &mut [u8]) {
    if let Some(end) = head_end(bytes) {
        let sum = checksum(&bytes[..end]);
        bytes[end..end + 8].copy_from_slice(&sum.to_le_bytes());
    }
}

pub fn fit_pack(packed: &mut [u8]) {
    let sum_offset = pack::SUM_OFFSET;
    if packed.len() >= pack::HEAD_BYTES {
        let body = (packed.len() - pack::HEAD_BYTES) as u64;
        packed[sum_offset - 8..sum_offset].copy_from_slice(&body.to_le_bytes());
        let sum = pack::checksum(&packed[..sum_offset], &packed[pack::HEAD_BYTES..]);
        packed[sum_offset..pack::HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
    }
}
