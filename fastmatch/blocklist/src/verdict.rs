//! What the lists say about one subject.

/// What an entry or a verdict asks for. A verdict is never `KnownGood`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Disposition {
    Block = 0,
    Allow = 1,
    KnownGood = 2,
}

/// One verdict of a list; valid as long as the list.
#[derive(Clone, Copy)]
pub struct VerdictRef<'a> {
    id: u32,
    lists: std::marker::PhantomData<&'a ()>,
}

impl<'a> VerdictRef<'a> {
    /// Stable within one `Blocklist`: see `Blocklist::verdict`.
    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn disposition(&self) -> Disposition {
        Disposition::Block
    }

    /// 0-100; 0 for an allow.
    pub fn score_tenths(&self) -> u8 {
        0
    }

    pub fn categories(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        std::iter::empty()
    }

    pub fn sources(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        std::iter::empty()
    }
}
