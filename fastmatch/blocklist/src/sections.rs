//! What the bytes of a list are spent on.

use crate::image::Image;
use crate::list::Blocklist;

/// One section of a file, or its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionSize {
    /// `decision`, `evidence`; `overlay decision` and `overlay evidence` were never files.
    pub file: &'static str,
    pub name: String,
    pub bytes: u64,
}

const DECISION: &[(u32, &str)] = &[
    (1, "IPv4 directory"),
    (2, "IPv4 keys and chains"),
    (3, "IPv4 widths"),
    (10, "IPv6 records"),
    (11, "IPv6 cells"),
    (12, "IPv6 nodes"),
    (20, "domain head"),
    (21, "domain slots"),
    (22, "domain chain pairs"),
    (23, "domain text"),
    (40, "chain heads"),
    (41, "chain links"),
    (42, "verdicts"),
];

const EVIDENCE: &[(u32, &str)] = &[
    (1, "IPv4 starts"),
    (2, "IPv4 lengths"),
    (3, "IPv4 facts"),
    (4, "IPv6 starts"),
    (5, "IPv6 lengths"),
    (6, "IPv6 facts"),
    (16, "facts"),
    (17, "reason ends"),
    (18, "reason text"),
    (20, "domain mark starts"),
    (21, "domain marks"),
    (22, "domain text records"),
    (23, "domain text"),
];

/// Labels are stored alike in both files.
const LABELS: &[(u32, &str)] = &[
    (32, "label attributes"),
    (33, "label sets"),
    (34, "label ends"),
    (35, "label text"),
];

fn name_of(names: &[(u32, &str)], id: u32) -> String {
    let mut known = names.iter().chain(LABELS);
    let found = known.find(|(known, _)| *known == id);
    found.map_or_else(|| format!("section {id}"), |(_, name)| (*name).to_owned())
}

fn sizes(file: &'static str, names: &[(u32, &str)], image: &Image) -> Vec<SectionSize> {
    let sections = image.section_sizes().map(|(id, bytes)| SectionSize {
        file,
        name: name_of(names, id),
        bytes: bytes as u64,
    });
    let sections: Vec<_> = sections.collect();
    let stated: u64 = sections.iter().map(|section| section.bytes).sum();
    let head = SectionSize {
        file,
        name: "head and padding".to_owned(),
        bytes: image.bytes().len() as u64 - stated.min(image.bytes().len() as u64),
    };
    std::iter::once(head).chain(sections).collect()
}

impl Blocklist {
    /// Sections in the order of the files; the sizes add up to `Stats::bytes`.
    pub fn sections(&self) -> Vec<SectionSize> {
        let files = [
            ("decision", "evidence"),
            ("overlay decision", "overlay evidence"),
        ];
        let mut all = Vec::new();
        for (layer, (decision, evidence)) in self.layers().zip(files) {
            all.extend(sizes(decision, DECISION, layer.decision.image()));
            if let Some(file) = &layer.evidence {
                all.extend(sizes(evidence, EVIDENCE, file.image()));
            }
        }
        all
    }
}
