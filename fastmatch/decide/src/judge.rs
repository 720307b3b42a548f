//! The subjects of a request -> the strongest verdict on any of them.
//!
//! Each subject is judged alone: what a client writes in a field can add to the score, never take from it.

use std::net::IpAddr;

use blocklist::{Blocklist, Disposition, VerdictRef};
use http1::field::FieldKind;
use http1::request::RequestHead;
use http1::target::host_of_url;

use crate::config::Domains;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Client,
    Host,
    Origin,
    Referer,
}

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Referer => "referer",
        }
    }
}

/// The hosts that one exchange is judged by, kept for as long as it may stream. One buffer, reused.
#[derive(Debug, Default)]
pub struct Hosts {
    text: Vec<u8>,
    /// End of each host in `text`.
    ends: Vec<(Subject, usize)>,
}

impl Hosts {
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn push(&mut self, subject: Subject, host: &[u8]) {
        self.text.extend_from_slice(host);
        self.ends.push((subject, self.text.len()));
    }

    /// Collects what the configuration asks for. A field that holds no host has none to judge.
    pub fn collect(&mut self, head: &RequestHead<'_, '_>, domains: Domains) {
        self.clear();
        if let Some(host) = head.host.filter(|_| domains.host) {
            self.push(Subject::Host, host.name);
        }
        if !domains.origin && !domains.referer {
            return;
        }
        for (header, kind) in head.fields.iter().zip(head.kinds) {
            let subject = match kind {
                FieldKind::Origin if domains.origin => Subject::Origin,
                FieldKind::Referer if domains.referer => Subject::Referer,
                _ => continue,
            };
            if let Some(host) = host_of_url(header.value) {
                self.push(subject, host);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = (Subject, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(subject, end)| {
            let host = self.text.get(start..end).unwrap_or_default();
            start = end;
            (subject, host)
        })
    }
}

/// A block that covers a subject.
#[derive(Clone, Copy)]
pub struct Judgement<'l, 'h> {
    pub subject: Subject,
    /// The host, as it was written; empty for the client.
    pub value: &'h [u8],
    pub verdict: VerdictRef<'l>,
    pub score: u8,
}

/// The highest score over all subjects; of equal ones the first. None when nothing blocks any of them.
pub fn judge<'l, 'h>(
    list: &'l Blocklist,
    client: IpAddr,
    hosts: &'h Hosts,
) -> Option<Judgement<'l, 'h>> {
    let mut strongest: Option<Judgement<'l, 'h>> = None;
    let mut consider = |subject, value, verdict: Option<VerdictRef<'l>>| {
        let Some(verdict) = verdict.filter(|found| found.disposition() == Disposition::Block)
        else {
            return;
        };
        let score = verdict.score_tenths();
        if score > strongest.as_ref().map_or(0, |known| known.score) {
            strongest = Some(Judgement {
                subject,
                value,
                verdict,
                score,
            });
        }
    };
    consider(Subject::Client, b"", list.lookup_address(client));
    for (subject, host) in hosts.iter() {
        // A host that is no name cannot be on a list of names.
        consider(subject, host, list.lookup_host(host).unwrap_or_default());
    }
    strongest
}
