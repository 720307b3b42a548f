//! Paths of an upstream that nobody outside may reach, such as its control API.

use http1::Refusal;
use http1::target::Target;

use crate::config::ConfigError;
use crate::forward::path_of;
use crate::path::Readings;
use crate::rewrite::Rewrite;
use crate::route_rules::checked_prefix;

/// Whole segments; in any case and by any reading of an escaped slash, since the upstream may fold and decode more
/// than we do.
#[derive(Clone, Debug, Default)]
pub(crate) struct HiddenPaths(Box<[Box<[u8]>]>);

impl HiddenPaths {
    pub fn compile(paths: &[String]) -> Result<Self, ConfigError> {
        let paths = paths
            .iter()
            .map(|path| checked_prefix("hidden_paths", path));
        Ok(Self(paths.collect::<Result<_, _>>()?))
    }

    /// Is the path that would go upstream one of them? Nothing is looked at when there are none.
    #[inline]
    pub fn cover(&self, target: &Target<'_>, rewrite: Option<&Rewrite>) -> Result<bool, Refusal> {
        if self.0.is_empty() {
            return Ok(false);
        }
        let Some(rewrite) = rewrite else {
            return self.holds(path_of(target));
        };
        let mut sent = Vec::new();
        rewrite.write(&mut sent, target);
        self.holds(path_of(&Target::Origin(&sent)))
    }

    fn holds(&self, path: &[u8]) -> Result<bool, Refusal> {
        let readings = Readings::of(path)?;
        let is_hidden = |path| self.0.iter().any(|hidden| is_within(path, hidden));
        Ok(readings.all().any(is_hidden))
    }
}

fn is_within(path: &[u8], hidden: &[u8]) -> bool {
    let Some((start, rest)) = path.split_at_checked(hidden.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(hidden) && matches!(rest.first(), None | Some(b'/'))
}
