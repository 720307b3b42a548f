//! Entries to the flat form that travels to workers and through the store, and back.
//!
//! Little-endian. Header: magic (8), format version (u32), entry count (u32), body length (u64), checksum of magic to
//! length and body (u64). Body: labels (count u32, each length u8 and bytes), statements (count u32, each: disposition,
//! origin, score, three times u32, source count u8, category count u8, label numbers u32, reason length u16 and bytes), then
//! the entries in order: statement number u32, family (4, 6 or 0), and for a network its length and start, for a domain its
//! rule, length and name. A reader trusts nothing: what is not canonical is refused with its offset.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use rapidhash::RapidHashMap;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::address::Network;
use crate::entry::{Entry, Origin, Statement};
use crate::name::Name;
use crate::target::{Rule, Target};
use crate::verdict::Disposition;

const MAGIC: &[u8; 8] = b"SNTRPACK";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 32;
const FAMILY_DOMAIN: u8 = 0;
const FAMILY_4: u8 = 4;
const FAMILY_6: u8 = 6;
/// Another key than files have: a pack is not mistaken for anything else.
const CHECKSUM_SECRETS: RapidSecrets = RapidSecrets::seed(1);

/// Where a pack breaks which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackError {
    pub offset: usize,
    pub rule: &'static str,
}

impl fmt::Display for PackError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "offset {}: {}", self.offset, self.rule)
    }
}

impl std::error::Error for PackError {}

fn checksum(head: &[u8], body: &[u8]) -> u64 {
    rapidhash_v3_seeded(body, &CHECKSUM_SECRETS) ^ rapidhash_v3_seeded(head, &CHECKSUM_SECRETS)
}

/// Sizes are bounded by what an entry may hold, so no count below overflows its field.
pub fn pack<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u8> {
    let mut packer = Packer::default();
    for entry in entries {
        packer.add(entry);
    }
    packer.finish()
}

#[derive(Default)]
struct Packer<'a> {
    labels: Vec<&'a str>,
    label_numbers: RapidHashMap<&'a str, u32>,
    statements: Vec<u8>,
    statement_numbers: RapidHashMap<&'a Statement, u32>,
    entries: Vec<u8>,
    count: u32,
}

fn word(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn byte(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

impl<'a> Packer<'a> {
    fn add(&mut self, entry: &'a Entry) {
        let statement = self.statement(&entry.statement);
        self.count += 1;
        let out = &mut self.entries;
        out.extend(statement.to_le_bytes());
        match &entry.target {
            Target::Network(Network::V4 { start, length }) => {
                out.extend([FAMILY_4, *length]);
                out.extend(start.to_le_bytes());
            }
            Target::Network(Network::V6 { start, length }) => {
                out.extend([FAMILY_6, *length]);
                out.extend(start.to_le_bytes());
            }
            Target::Domain { name, rule } => {
                out.extend([FAMILY_DOMAIN, *rule as u8, byte(name.len())]);
                out.extend(name.as_bytes());
            }
        }
    }

    fn statement(&mut self, statement: &'a Statement) -> u32 {
        if let Some(number) = self.statement_numbers.get(statement) {
            return *number;
        }
        let number = word(self.statement_numbers.len());
        self.statement_numbers.insert(statement, number);
        let mut record = vec![
            statement.disposition as u8,
            statement.origin as u8,
            statement.score_tenths,
        ];
        for time in [statement.first_seen, statement.last_seen, statement.expires] {
            record.extend(time.map_or(0, NonZeroU32::get).to_le_bytes());
        }
        record.extend([
            byte(statement.sources.len()),
            byte(statement.categories.len()),
        ]);
        for label in statement.sources.iter().chain(&statement.categories) {
            record.extend(self.label(label).to_le_bytes());
        }
        let reason_length = u16::try_from(statement.reason.len()).unwrap_or(u16::MAX);
        record.extend(reason_length.to_le_bytes());
        record.extend(statement.reason.as_bytes());
        self.statements.extend(record);
        number
    }

    fn label(&mut self, label: &'a str) -> u32 {
        *self.label_numbers.entry(label).or_insert_with(|| {
            self.labels.push(label);
            word(self.labels.len() - 1)
        })
    }

    fn finish(self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(word(self.labels.len()).to_le_bytes());
        for label in &self.labels {
            body.push(byte(label.len()));
            body.extend(label.as_bytes());
        }
        body.extend(word(self.statement_numbers.len()).to_le_bytes());
        body.extend(self.statements);
        body.extend(self.entries);
        let mut packed = Vec::with_capacity(HEADER_BYTES + body.len());
        packed.extend(MAGIC);
        packed.extend(FORMAT_VERSION.to_le_bytes());
        packed.extend(self.count.to_le_bytes());
        packed.extend((body.len() as u64).to_le_bytes());
        packed.extend(checksum(&packed, &body).to_le_bytes());
        packed.extend(body);
        packed
    }
}

/// Hands each entry to `take` in order; its error becomes ours. At most `limit` entries.
pub fn unpack(
    packed: &[u8],
    limit: usize,
    mut take: impl FnMut(Entry) -> Result<(), &'static str>,
) -> Result<(), PackError> {
    let mut reader = Reader {
        bytes: packed,
        position: 0,
    };
    let count = read_header(&mut reader, limit)?;
    let labels = read_labels(&mut reader)?;
    let statements = read_statements(&mut reader, &labels)?;
    for _ in 0..count {
        let start = reader.position;
        let number = reader.u32()?;
        let statement = statements.get(number as usize);
        let statement = statement
            .ok_or(reader.error_at(start, "an unknown statement"))?
            .clone();
        let target = read_target(&mut reader)?;
        take(Entry { target, statement }).map_err(|rule| reader.error_at(start, rule))?;
    }
    if reader.position == packed.len() {
        Ok(())
    } else {
        Err(reader.error_at(reader.position, "bytes behind the last entry"))
    }
}

fn read_header(reader: &mut Reader<'_>, limit: usize) -> Result<u32, PackError> {
    if reader.take(8)? != MAGIC {
        return Err(reader.error_at(0, "not a pack of entries"));
    }
    if reader.u32()? != FORMAT_VERSION {
        return Err(reader.error_at(8, "another format version"));
    }
    let count = reader.u32()?;
    let body_length = reader.u64()?;
    let head = &reader.bytes[..reader.position];
    let sum = reader.u64()?;
    let body = &reader.bytes[reader.position..];
    if body_length != body.len() as u64 {
        return Err(reader.error_at(16, "the body is not as long as stated"));
    }
    if checksum(head, body) != sum {
        return Err(reader.error_at(24, "the checksum does not fit"));
    }
    if count as usize > limit {
        return Err(reader.error_at(12, "more entries than the limit"));
    }
    Ok(count)
}

fn read_labels(reader: &mut Reader<'_>) -> Result<Vec<Box<str>>, PackError> {
    let count = reader.u32()?;
    let mut labels = Vec::new();
    for _ in 0..count {
        let length = reader.u8()?;
        labels.push(reader.text(usize::from(length))?.into());
    }
    Ok(labels)
}

fn read_statements(
    reader: &mut Reader<'_>,
    labels: &[Box<str>],
) -> Result<Vec<Arc<Statement>>, PackError> {
    let count = reader.u32()?;
    let mut statements = Vec::new();
    for _ in 0..count {
        statements.push(Arc::new(read_statement(reader, labels)?));
    }
    Ok(statements)
}

fn read_statement(reader: &mut Reader<'_>, labels: &[Box<str>]) -> Result<Statement, PackError> {
    let start = reader.position;
    let disposition = Disposition::from_code(reader.u8()?)
        .ok_or(reader.error_at(start, "an unknown disposition"))?;
    let origin =
        Origin::from_code(reader.u8()?).ok_or(reader.error_at(start + 1, "an unknown origin"))?;
    let score_tenths = reader.u8()?;
    let mut time = || reader.u32().map(NonZeroU32::new);
    let (first_seen, last_seen, expires) = (time()?, time()?, time()?);
    let (source_count, category_count) = (reader.u8()?, reader.u8()?);
    let sources = read_set(reader, source_count, labels)?;
    let categories = read_set(reader, category_count, labels)?;
    let reason_length = u16::from_le_bytes(reader.array()?);
    let reason = reader.text(usize::from(reason_length))?.into();
    let read = Statement {
        disposition,
        origin,
        score_tenths,
        sources,
        categories,
        reason,
        first_seen,
        last_seen,
        expires,
    };
    let checked = read.clone().checked();
    match checked {
        Ok(checked) if checked == read => Ok(read),
        _ => Err(reader.error_at(start, "a statement that is not canonical")),
    }
}

fn read_set(
    reader: &mut Reader<'_>,
    count: u8,
    labels: &[Box<str>],
) -> Result<Box<[Box<str>]>, PackError> {
    let mut set = Vec::new();
    for _ in 0..count {
        let start = reader.position;
        let label = labels.get(reader.u32()? as usize);
        set.push(
            label
                .ok_or(reader.error_at(start, "an unknown label"))?
                .clone(),
        );
    }
    Ok(set.into_boxed_slice())
}

fn read_target(reader: &mut Reader<'_>) -> Result<Target, PackError> {
    let start = reader.position;
    let family = reader.u8()?;
    let network = match family {
        FAMILY_4 => {
            let length = reader.u8()?;
            Network::v4(u32::from_le_bytes(reader.array()?), length)
        }
        FAMILY_6 => {
            let length = reader.u8()?;
            let read = Network::v6(u128::from_le_bytes(reader.array()?), length);
            read.filter(|(network, _)| matches!(network, Network::V6 { .. }))
        }
        FAMILY_DOMAIN => return read_domain(reader),
        _ => return Err(reader.error_at(start, "an unknown family")),
    };
    match network {
        Some((network, false)) => Ok(Target::Network(network)),
        _ => Err(reader.error_at(start, "a network that is not canonical")),
    }
}

fn read_domain(reader: &mut Reader<'_>) -> Result<Target, PackError> {
    let start = reader.position;
    let rule = Rule::from_code(reader.u8()?).ok_or(reader.error_at(start, "an unknown rule"))?;
    let length = reader.u8()?;
    let text = reader.take(usize::from(length))?;
    match Name::parse_checked(text) {
        Ok(name) if name.as_bytes() == text => Ok(Target::Domain {
            name: name.as_str().into(),
            rule,
        }),
        _ => Err(reader.error_at(start, "a name that is not canonical")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], PackError> {
        let taken = self
            .bytes
            .get(self.position..)
            .and_then(|rest| rest.get(..count));
        let taken = taken.ok_or(self.error_at(self.position, "the pack ends too early"))?;
        self.position += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        let taken = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(taken);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, PackError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, PackError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, PackError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, PackError> {
        let start = self.position;
        std::str::from_utf8(self.take(length)?).map_err(|_| self.error_at(start, "not UTF-8"))
    }

    #[expect(
        clippy::unused_self,
        reason = "reads as what it is: an error of this reader"
    )]
    fn error_at(&self, offset: usize, rule: &'static str) -> PackError {
        PackError { offset, rule }
    }
}
