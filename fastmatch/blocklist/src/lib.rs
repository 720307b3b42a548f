//! Entries to an index of networks and domains, and the verdict for one subject.
