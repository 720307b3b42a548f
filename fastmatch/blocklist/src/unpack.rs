//! The packed form back to entries. Trusts nothing: what is not canonical is refused with its offset.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::address::Network;
use crate::entry::{Entry, Origin, Statement};
use crate::name::Name;
use crate::pack::{FAMILY_4, FAMILY_6, FAMILY_DOMAIN, FORMAT_VERSION, MAGIC, PackError, checksum};
use crate::target::{Rule, Target};
use crate::verdict::Disposition;

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
